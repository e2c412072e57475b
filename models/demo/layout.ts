// Names and shapes of every tensor of a TurboWan model set, as in the official files, for any widths.
// Each tensor says how its random values are drawn: `gain` times a normal value over the square root of
// its fan-in, or a constant.

export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly fill: { readonly constant: number } | { readonly gain: number; readonly fanIn: number };
  /** Convolution kernels fall off smoothly from their middle; see weights.ts. */
  readonly smooth?: boolean;
  readonly fp32?: boolean;
}

export interface TransformerSizes {
  readonly width: number;
  readonly ffn: number;
  readonly layers: number;
  readonly textWidth: number;
  readonly inChannels: number;
}

export interface TextEncoderSizes {
  readonly vocabulary: number;
  readonly width: number;
  readonly ffn: number;
  readonly heads: number;
  readonly layers: number;
}

const HEAD_WIDTH = 128;
const TIME_FREQUENCIES = 256;
const PATCH_VALUES = 4;
const LATENT_CHANNELS = 16;
const POSITION_BUCKETS = 32;

const ones = (name: string, shape: readonly number[]): TensorSpec => ({ name, shape, fill: { constant: 1 } });
const zeros = (name: string, shape: readonly number[]): TensorSpec => ({ name, shape, fill: { constant: 0 } });

function linear(name: string, out: number, input: number, gain = 1): TensorSpec[] {
  return [{ name: `${name}.weight`, shape: [out, input], fill: { gain, fanIn: input } }, zeros(`${name}.bias`, [out])];
}

function attention(name: string, width: number): TensorSpec[] {
  return [
    ...["q", "k", "v", "o"].flatMap((part) => linear(`${name}.${part}`, width, width)),
    ones(`${name}.norm_q.weight`, [width]),
    ones(`${name}.norm_k.weight`, [width]),
  ];
}

function transformerBlock(name: string, { width, ffn }: TransformerSizes): TensorSpec[] {
  const linearBranch = linear(`${name}.self_attn.attn_op.local_attn.proj_l`, HEAD_WIDTH, HEAD_WIDTH);
  return [
    { name: `${name}.modulation`, shape: [1, 6, width], fill: { gain: 1, fanIn: width } },
    ...attention(`${name}.self_attn`, width),
    ...linearBranch.map((spec) => ({ ...spec, fp32: true })),
    ones(`${name}.norm3.weight`, [width]),
    zeros(`${name}.norm3.bias`, [width]),
    ...attention(`${name}.cross_attn`, width),
    ...linear(`${name}.ffn.0`, ffn, width),
    ...linear(`${name}.ffn.2`, width, ffn),
  ];
}

/** TurboWan's transformer: the names of TurboWan2.1-T2V-1.3B-480P.pth. */
export function transformerTensors(sizes: TransformerSizes): TensorSpec[] {
  const { width, layers, textWidth, inChannels } = sizes;
  return [
    ...linear("patch_embedding", width, inChannels * PATCH_VALUES),
    ...linear("text_embedding.0", width, textWidth),
    ...linear("text_embedding.2", width, width),
    ...linear("time_embedding.0", width, TIME_FREQUENCIES),
    ...linear("time_embedding.2", width, width),
    ...linear("time_projection.1", 6 * width, width),
    ...Array.from({ length: layers }, (_, i) => transformerBlock(`blocks.${i}`, sizes)).flat(),
    { name: "head.modulation", shape: [1, 2, width], fill: { gain: 1, fanIn: width } },
    ...linear("head.head", LATENT_CHANNELS * PATCH_VALUES, width),
  ];
}

/** umT5's encoder: the names of models_t5_umt5-xxl-enc-bf16.pth. Its attention does not scale, so q does. */
export function textEncoderTensors(sizes: TextEncoderSizes): TensorSpec[] {
  const { vocabulary, width, ffn, heads, layers } = sizes;
  const matrix = (name: string, out: number, input: number, gain = 1): TensorSpec => ({
    name,
    shape: [out, input],
    fill: { gain, fanIn: input },
  });
  const block = (name: string): TensorSpec[] => [
    ones(`${name}.norm1.weight`, [width]),
    matrix(`${name}.attn.q.weight`, width, width, 1 / Math.sqrt(width / heads)),
    matrix(`${name}.attn.k.weight`, width, width),
    matrix(`${name}.attn.v.weight`, width, width),
    matrix(`${name}.attn.o.weight`, width, width),
    ones(`${name}.norm2.weight`, [width]),
    matrix(`${name}.ffn.gate.0.weight`, ffn, width),
    matrix(`${name}.ffn.fc1.weight`, ffn, width),
    matrix(`${name}.ffn.fc2.weight`, width, ffn),
    matrix(`${name}.pos_embedding.embedding.weight`, POSITION_BUCKETS, heads),
  ];
  return [
    { name: "token_embedding.weight", shape: [vocabulary, width], fill: { gain: 1, fanIn: 1 } },
    ...Array.from({ length: layers }, (_, i) => block(`blocks.${i}`)).flat(),
    ones("norm.weight", [width]),
  ];
}
