// Which model `render` takes: one of a models folder by its id, or any folder that holds a set of files by
// the registry's names.
import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { findModel, MODELS } from "../../shared/models.ts";
import {
  COMMON,
  type Decoder,
  describeMissing,
  findModels,
  firstFile,
  locateModel,
  type ModelOnDisk,
} from "../checkpoints/find.ts";
import { UsageError } from "../errors.ts";

export interface ModelChoice {
  /** A model id, or a folder. */
  readonly model: string | undefined;
  readonly modelsDir: string | undefined;
  /** Its files are looked for, too. */
  readonly decoder: Decoder;
}

/** What was typed after --models-dir, or the environment's. */
export function modelsFolder(typed: string | undefined): string | undefined {
  return typed ?? (process.env.TURBOCLIP_MODELS_DIR || undefined);
}

export async function chooseModel({ model, modelsDir, decoder }: ModelChoice): Promise<ModelOnDisk> {
  if (model !== undefined && findModel(model) === undefined) return inFolder(model, decoder);
  if (modelsDir === undefined) {
    throw new UsageError("no models folder: give --models-dir DIR, set TURBOCLIP_MODELS_DIR, or give --model DIR");
  }
  await requireFolder("--models-dir", modelsDir);
  const search = await findModels(modelsDir, decoder);
  if (model === undefined) {
    const [only, ...others] = search.found;
    if (only !== undefined && others.length === 0) return only;
    const ids = search.found.map(({ id }) => id).join(", ");
    if (ids !== "") throw new UsageError(`${modelsDir} holds several models: give --model with one of ${ids}`);
    throw new UsageError(`${modelsDir} holds no complete model:\n${describeMissing(modelsDir, search)}`);
  }
  const found = search.found.find(({ id }) => id === model);
  if (found !== undefined) return found;
  const incomplete = search.incomplete.filter(({ id }) => id === model);
  throw new UsageError(`--model ${model} is not complete:\n${describeMissing(modelsDir, { found: [], incomplete })}`);
}

/** The set in this folder; what models share may stand in a `common/` beside it. */
async function inFolder(folder: string, decoder: Decoder): Promise<ModelOnDisk> {
  await requireFolder("--model", folder);
  const transformers = await Promise.all(
    MODELS.map((spec) => firstFile(spec.files.transformer.map((name) => join(folder, name)))),
  );
  const specs = MODELS.filter((_, i) => transformers[i] !== undefined);
  const [spec] = specs;
  if (spec === undefined) {
    const names = MODELS.flatMap(({ files }) => files.transformer).join(", ");
    throw new UsageError(`--model ${folder} holds no transformer: one of ${names} must be there`);
  }
  if (specs.length > 1) {
    const ids = specs.map(({ id }) => id).join(", ");
    throw new UsageError(`--model ${folder} holds the transformers of ${ids}: give each model a folder of its own`);
  }
  const common = resolve(folder, "..", COMMON);
  const located = await locateModel(spec, [folder, common], decoder);
  if ("transformer" in located) return located;
  throw new UsageError(`--model ${folder} lacks ${located.missing.join(", ")}: neither there nor in ${common}`);
}

async function requireFolder(option: string, path: string): Promise<void> {
  const isFolder = await stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (isFolder) return;
  const ids = MODELS.map(({ id }) => id).join(", ");
  throw new UsageError(
    `${option} ${path} is no folder${option === "--model" ? ` and no model id: give a folder or one of ${ids}` : ""}`,
  );
}
