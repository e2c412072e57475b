// A database that commits and then loses the answer, or loses the request: D1 does both, and never retries.
import { type Database, openDatabase } from "../../../db/database.ts";
import { env } from "./env.ts";

export type Loss = "request" | "answer";

export interface FlakyDatabase {
  readonly db: Database;
  /** Makes the next batch fail, or the one after `passing` more. */
  readonly lose: (what: Loss, passing?: number) => void;
  /** Lets somebody else act first when the next batch arrives. */
  readonly overtake: (act: () => Promise<unknown>) => void;
}

export function flakyDatabase(): FlakyDatabase {
  let next: Loss | null = null;
  let before = 0;
  let first: (() => Promise<unknown>) | null = null;
  const d1 = new Proxy(env.DB, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name !== "batch") return typeof value === "function" ? value.bind(target) : value;
      return async (statements: D1PreparedStatement[]) => {
        const act = first;
        first = null;
        await act?.();
        const loss = before === 0 ? next : null;
        if (before === 0) next = null;
        else before -= 1;
        if (loss === "request") throw new Error("D1_ERROR: Network connection lost.");
        const results = await target.batch(statements);
        if (loss === "answer") throw new Error("D1_ERROR: Network connection lost.");
        return results;
      };
    },
  });
  return {
    db: openDatabase(d1),
    lose: (what, passing = 0) => {
      next = what;
      before = passing;
    },
    overtake: (act) => {
      first = act;
    },
  };
}
