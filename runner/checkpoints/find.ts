// Which models of the registry this host can offer: those whose files are all there.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { MODELS, type ModelSpec } from "../../shared/models.ts";
import { checkpointVersion } from "./version.ts";

/** Where a model's files are on this host. */
export interface ModelFiles {
  readonly id: string;
  readonly transformer: string;
  readonly vae: string;
  readonly textEncoder: string;
  readonly tokenizer: string;
  /** Only where clips are to be decoded by it. */
  readonly tinyDecoder?: string | undefined;
}

/** vae is Wan's own; taehv is far quicker, takes less memory, and shows a likeness of what the VAE would. */
export const DECODERS = ["vae", "taehv"] as const;
export type Decoder = (typeof DECODERS)[number];

export interface ModelOnDisk extends ModelFiles {
  /** Which transformer that is, by its content. */
  readonly version: string;
  readonly sigmaMax: number;
  readonly topkRatio: number;
}

/** How a model is sampled, beside what a clip's request says. */
export interface Sampling {
  /** Where the noise starts. */
  readonly sigmaMax: number;
  /** sla attends to the blocks that matter; original to all. */
  readonly attention: "sla" | "original";
  /** Share of key blocks that sla keeps. */
  readonly topkRatio: number;
  readonly decoder: Decoder;
}

/** As the edge's clips are sampled. */
export function defaultSampling({ sigmaMax, topkRatio, tinyDecoder }: ModelOnDisk): Sampling {
  return { sigmaMax, attention: "sla", topkRatio, decoder: tinyDecoder === undefined ? "vae" : "taehv" };
}

export interface IncompleteModel {
  readonly id: string;
  readonly missing: readonly string[];
}

export interface ModelSearch {
  readonly found: readonly ModelOnDisk[];
  /** Models with some file missing: which ones, by the names looked for. */
  readonly incomplete: readonly IncompleteModel[];
}

export const COMMON = "common";

/** Looks for each file in the model's own folder, then in `common/`. */
export async function findModels(folder: string, decoder: Decoder): Promise<ModelSearch> {
  const located = await Promise.all(
    MODELS.map((model) => locateModel(model, [join(folder, model.id), join(folder, COMMON)], decoder)),
  );
  return {
    found: located.filter((model) => "transformer" in model),
    incomplete: located.filter((model) => "missing" in model),
  };
}

/** Each file from the first of the folders that has it; or which ones none of them has. */
export async function locateModel(
  model: ModelSpec,
  folders: readonly string[],
  decoder: Decoder,
): Promise<ModelOnDisk | IncompleteModel> {
  const locate = (names: readonly string[]) =>
    firstFile(names.flatMap((name) => folders.map((folder) => join(folder, name))));
  const { transformer, vae, textEncoder, tokenizer, tinyDecoder } = model.files;
  const isTiny = decoder === "taehv";
  const [t, v, e, k, d] = await Promise.all([
    locate(transformer),
    locate([vae]),
    locate([textEncoder]),
    locate([tokenizer]),
    isTiny ? locate([tinyDecoder]) : undefined,
  ]);
  const lacksTiny = isTiny && d === undefined;
  if (t !== undefined && v !== undefined && e !== undefined && k !== undefined && !lacksTiny) {
    const { id, sigmaMax, topkRatio } = model;
    const version = await checkpointVersion(t);
    return { id, version, sigmaMax, topkRatio, transformer: t, vae: v, textEncoder: e, tokenizer: k, tinyDecoder: d };
  }
  const missing = [
    ...(t === undefined ? [transformer.join(" or ")] : []),
    ...(v === undefined ? [vae] : []),
    ...(e === undefined ? [textEncoder] : []),
    ...(k === undefined ? [tokenizer] : []),
    ...(lacksTiny ? [tinyDecoder] : []),
  ];
  return { id: model.id, missing };
}

export async function firstFile(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    if (
      await stat(path).then(
        (entry) => entry.isFile(),
        () => false,
      )
    )
      return path;
  }
  return undefined;
}

/** One line for each model that lacks something, in words for the person who installs it. */
export function describeMissing(folder: string, search: ModelSearch): string {
  return search.incomplete
    .map(({ id, missing }) => `${id}: not in ${join(folder, id)} or ${join(folder, COMMON)}: ${missing.join(", ")}`)
    .join("\n");
}
