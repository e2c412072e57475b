// Writes a flat dictionary of tensors as torch.save would (zip of data.pkl and raw storages, pickle protocol
// 2), so that a model set can be made without Python. The pieces are exported one by one, because tests also
// build files that are wrong or hostile in one place.
import { storedZip, type ZipEntry } from "./zip.ts";

export type StoredType = "bf16" | "f32";

export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: StoredType;
  /** Row-major values, little-endian, in the stored type. */
  readonly data: Uint8Array;
}

const STORAGE_CLASS = { bf16: "BFloat16Storage", f32: "FloatStorage" } as const satisfies Record<StoredType, string>;
const ELEMENT_BYTES = { bf16: 2, f32: 4 } as const satisfies Record<StoredType, number>;

/** float32 to bfloat16, to nearest, ties to even: the upper half of the word after rounding. */
export function toBf16(values: Float32Array): Uint8Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? 0;
    halves[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(halves.buffer);
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function rowMajorStrides(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (const size of shape.toReversed()) {
    strides.unshift(stride);
    stride *= size;
  }
  return strides;
}

/** Opcodes of pickle protocol 2 (Python's pickletools documents them). */
const op = {
  proto2: Buffer.from([0x80, 0x02]),
  emptyDict: Buffer.from("}"),
  emptyTuple: Buffer.from(")"),
  mark: Buffer.from("("),
  tuple: Buffer.from("t"),
  persistentId: Buffer.from("Q"),
  reduce: Buffer.from("R"),
  newFalse: Buffer.from([0x89]),
  setItems: Buffer.from("u"),
  stop: Buffer.from("."),
} as const;

/** Pushes `module.name`, which a restricted reader must know or refuse. */
export function pickleGlobal(module: string, name: string): Buffer {
  return Buffer.from(`c${module}\n${name}\n`, "utf8");
}

export function pickleText(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  const length = Buffer.alloc(5);
  length.write("X", "latin1");
  length.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([length, bytes]);
}

export function pickleInteger(value: number): Buffer {
  if (!Number.isInteger(value) || Math.abs(value) > 0x7fffffff) throw new RangeError(`not a 32-bit integer: ${value}`);
  const bytes = Buffer.alloc(5);
  bytes.write("J", "latin1");
  bytes.writeInt32LE(value, 1);
  return bytes;
}

function pickleTuple(...items: readonly Buffer[]): Buffer {
  return Buffer.concat([op.mark, ...items, op.tuple]);
}

function pickleTensor(tensor: StoredTensor, key: string): Buffer {
  const storage = pickleTuple(
    pickleText("storage"),
    pickleGlobal("torch", STORAGE_CLASS[tensor.type]),
    pickleText(key),
    pickleText("cpu"),
    pickleInteger(tensor.data.byteLength / ELEMENT_BYTES[tensor.type]),
  );
  const args = pickleTuple(
    Buffer.concat([storage, op.persistentId]),
    pickleInteger(0),
    pickleTuple(...tensor.shape.map(pickleInteger)),
    pickleTuple(...rowMajorStrides(tensor.shape).map(pickleInteger)),
    op.newFalse,
    Buffer.concat([pickleGlobal("collections", "OrderedDict"), op.emptyTuple, op.reduce]),
  );
  return Buffer.concat([pickleGlobal("torch._utils", "_rebuild_tensor_v2"), args, op.reduce]);
}

/** data.pkl: name to tensor, each tensor with a storage of its own, numbered in order. */
export function statePickle(tensors: readonly StoredTensor[]): Buffer {
  const items = tensors.flatMap((tensor, i) => [pickleText(tensor.name), pickleTensor(tensor, String(i))]);
  return Buffer.concat([op.proto2, op.emptyDict, op.mark, ...items, op.setItems, op.stop]);
}

/**
 * The entries of a .pth archive under its top folder `name`. `pickle` stands in for the one that matches the
 * tensors, in tests of readers.
 */
export function pthEntries(name: string, tensors: readonly StoredTensor[], pickle?: Buffer): ZipEntry[] {
  return [
    { name: `${name}/data.pkl`, data: pickle ?? statePickle(tensors) },
    { name: `${name}/.format_version`, data: Buffer.from("1") },
    { name: `${name}/.storage_alignment`, data: Buffer.from("64") },
    { name: `${name}/byteorder`, data: Buffer.from("little") },
    ...tensors.map((tensor, i) => ({ name: `${name}/data/${i}`, data: tensor.data })),
    { name: `${name}/version`, data: Buffer.from("3\n") },
  ];
}

/** A whole .pth file. Equal tensors give equal bytes. */
export function pthFile(name: string, tensors: readonly StoredTensor[]): Buffer {
  for (const { name: tensor, shape, type, data } of tensors) {
    if (data.byteLength !== elementCount(shape) * ELEMENT_BYTES[type]) {
      throw new RangeError(`${tensor}: ${data.byteLength} bytes are not [${shape.join(", ")}] in ${type}`);
    }
  }
  return storedZip(pthEntries(name, tensors));
}
