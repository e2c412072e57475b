// Whether who calls may do what is asked for.
import type { Scope } from "../../../shared/contract/keys.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { Bearer } from "./verify.ts";

/** Throws scope_missing. */
export function requireScopeOf(bearer: Bearer, scope: Scope): void {
  if (bearer.scopes.includes(scope)) return;
  const whose = bearer.token === null ? `key ${bearer.key.shownPrefix}` : "browser token";
  throw new ApiError("scope_missing", `The ${whose} lacks the scope ${scope}; use one that has it.`);
}
