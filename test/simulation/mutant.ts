// What a mutant is: the services with one mistake, as a change of source text.
import type { Edit } from "./sources.ts";

export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** Tried first: one that is known to find a mutant that few seeds find. The others follow if it does no longer. */
  readonly first?: number;
}

export function one(name: string, file: string, from: string, to: string, first?: number): Mutant {
  return { name, edits: [{ file, from, to }], ...(first !== undefined && { first }) };
}
