// The sources of the edge as the simulation reads them: unchanged, or with the edits of one mutant.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");

export interface Edit {
  /** From the project's root. */
  readonly file: string;
  /** Must be there exactly once. */
  readonly from: string;
  readonly to: string;
}

let edits: readonly Edit[] = [];

/** To be called before the first module of the edge is loaded. */
export function useEdits(chosen: readonly Edit[]): void {
  edits = chosen;
}

export function isEdited(path: string): boolean {
  return edits.some(({ file }) => resolve(ROOT, file) === path);
}

/** Throws where an edit does not fit its file: a mutant that changes nothing would pass for one that is killed. */
export function readSource(path: string): string {
  let source = readFileSync(path, "utf8");
  for (const { file, from, to } of edits) {
    if (resolve(ROOT, file) !== path) continue;
    const found = source.split(from).length - 1;
    if (found !== 1) throw new Error(`${file} has ${found} times, not once: ${from}`);
    source = source.replace(from, () => to);
  }
  return source;
}
