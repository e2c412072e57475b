// Where the trained model set is that comes with the project.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findModel, type ModelSpec } from "../../shared/models.ts";

/** A folder of models, as a runner takes it. */
export const DEMO_MODELS_DIR = join(import.meta.dirname, "trained");

function registered(): ModelSpec {
  const spec = findModel("turboclip-demo");
  if (spec === undefined) throw new Error("the registry has no turboclip-demo");
  return spec;
}

export const DEMO_SPEC = registered();
const inSet = (name: string) => join(DEMO_MODELS_DIR, DEMO_SPEC.id, name);
const [int8 = ""] = DEMO_SPEC.files.transformer;

/** The set's files. Of the transformer it has the INT8 twin alone. */
export const DEMO_FILES = {
  transformer: inSet(int8),
  textEncoder: inSet(DEMO_SPEC.files.textEncoder),
  vae: inSet(DEMO_SPEC.files.vae),
  tokenizer: inSet(DEMO_SPEC.files.tokenizer),
} as const;

export function sha256(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}
