// Which models of the registry this host can offer: those whose files are all there.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { MODELS, type ModelSpec } from "../../shared/models.ts";

/** Where a model's files are on this host. */
export interface ModelOnDisk {
  readonly id: string;
  readonly sigmaMax: number;
  readonly topkRatio: number;
  readonly transformer: string;
  readonly vae: string;
  readonly textEncoder: string;
  readonly tokenizer: string;
}

export interface ModelSearch {
  readonly found: readonly ModelOnDisk[];
  /** Models with some file missing: which ones, by the names looked for. */
  readonly incomplete: readonly { readonly id: string; readonly missing: readonly string[] }[];
}

const COMMON = "common";

/** Looks for each file in the model's own folder, then in `common/`. */
export async function findModels(folder: string, registry: readonly ModelSpec[] = MODELS): Promise<ModelSearch> {
  const found: ModelOnDisk[] = [];
  const incomplete: { id: string; missing: string[] }[] = [];
  for (const model of registry) {
    const locate = (names: readonly string[]) =>
      firstFile(names.flatMap((name) => [join(folder, model.id, name), join(folder, COMMON, name)]));
    const { transformer, vae, textEncoder, tokenizer } = model.files;
    const [t, v, e, k] = await Promise.all([
      locate(transformer),
      locate([vae]),
      locate([textEncoder]),
      locate([tokenizer]),
    ]);
    if (t !== undefined && v !== undefined && e !== undefined && k !== undefined) {
      const { id, sigmaMax, topkRatio } = model;
      found.push({ id, sigmaMax, topkRatio, transformer: t, vae: v, textEncoder: e, tokenizer: k });
      continue;
    }
    const missing = [
      ...(t === undefined ? [transformer.join(" or ")] : []),
      ...(v === undefined ? [vae] : []),
      ...(e === undefined ? [textEncoder] : []),
      ...(k === undefined ? [tokenizer] : []),
    ];
    incomplete.push({ id: model.id, missing });
  }
  return { found, incomplete };
}

async function firstFile(paths: readonly string[]): Promise<string | undefined> {
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
