// The one table of what a route under /v1 asks of who calls it. A route that is not in it is open to nobody, and the app
// does not start with one.
import { createMiddleware } from "hono/factory";
import { matchedRoutes } from "hono/route";
import type { Scope } from "../../shared/contract/keys.ts";
import { ApiError } from "../../shared/errors.ts";
import { idSchema } from "../../shared/ids.ts";
import type { EdgeApp, EdgeEnv } from "../context.ts";
import { requireOwnClip } from "../services/keys/browser-token.ts";
import { requireScopeOf } from "../services/keys/scope.ts";

export interface Access {
  readonly scope: Scope;
  /** Whether browser tokens may call it: never, always, or about a clip (`id`) that was ordered with them. */
  readonly browser: "never" | "always" | "own clip";
}

const route = (scope: Scope, browser: Access["browser"] = "never"): Access => ({ scope, browser });

export const ACCESS: Readonly<Record<string, Access>> = {
  "POST /v1/clips": route("clips:write", "always"),
  "POST /v1/clips/estimate": route("clips:write"),
  "GET /v1/clips": route("clips:read"),
  "GET /v1/clips/{id}": route("clips:read", "own clip"),
  "DELETE /v1/clips/{id}": route("clips:write", "own clip"),
  "GET /v1/clips/{id}/events": route("clips:read", "own clip"),
  "POST /v1/clips/{id}/cancel": route("clips:write", "own clip"),
  "GET /v1/uploads/{id}": route("clips:write"),
  "POST /v1/uploads": route("clips:write"),
  "POST /v1/uploads/{id}/complete": route("clips:write"),
  "DELETE /v1/uploads/{id}": route("clips:write"),
  "POST /v1/videos": route("clips:write"),
  "GET /v1/videos": route("clips:read"),
  "GET /v1/videos/{id}": route("clips:read"),
  "GET /v1/videos/{id}/content": route("clips:read"),
  "DELETE /v1/videos/{id}": route("clips:write"),
  // Its tools ask for the scopes of what they do.
  "POST /mcp": route("clips:read"),
  "GET /v1/models": route("clips:read", "always"),
  "GET /v1/balance": route("billing:read"),
  "GET /v1/balance-alert": route("billing:read"),
  "PUT /v1/balance-alert": route("billing:write"),
  "GET /v1/limits": route("billing:read"),
  "GET /v1/usage": route("billing:read"),
  "GET /v1/ledger": route("billing:read"),
  "GET /v1/statements/{file}": route("billing:read"),
  "POST /v1/top-ups": route("billing:write"),
  "GET /v1/top-ups": route("billing:read"),
  "GET /v1/top-ups/{id}": route("billing:read"),
  "GET /v1/auto-top-up": route("billing:read"),
  "PUT /v1/auto-top-up": route("billing:write"),
  "DELETE /v1/auto-top-up": route("billing:write"),
  // Who may manage keys may see what was done with them.
  "GET /v1/audit-log": route("keys:write"),
  "GET /v1/keys": route("keys:write"),
  "POST /v1/keys": route("keys:write"),
  "GET /v1/keys/{id}": route("keys:write"),
  "PATCH /v1/keys/{id}": route("keys:write"),
  "POST /v1/keys/{id}/rotate": route("keys:write"),
  "DELETE /v1/keys/{id}": route("keys:write"),
  "GET /v1/webhook-endpoints": route("webhooks:write"),
  "POST /v1/webhook-endpoints": route("webhooks:write"),
  "GET /v1/webhook-endpoints/{id}": route("webhooks:write"),
  "PATCH /v1/webhook-endpoints/{id}": route("webhooks:write"),
  "DELETE /v1/webhook-endpoints/{id}": route("webhooks:write"),
  "POST /v1/webhook-endpoints/{id}/rotate-secret": route("webhooks:write"),
  "POST /v1/webhook-endpoints/{id}/test": route("webhooks:write"),
  "POST /v1/webhook-secret/rotate": route("webhooks:write"),
  "GET /v1/webhook-deliveries": route("webhooks:write"),
  "GET /v1/webhook-deliveries/{id}/attempts": route("webhooks:write"),
  "POST /v1/webhook-deliveries/{id}/replay": route("webhooks:write"),
  // A link lends its key to a chat, so making one is managing keys.
  "GET /v1/integrations/links": route("keys:write"),
  "POST /v1/integrations/links": route("keys:write"),
  "PATCH /v1/integrations/links/{id}": route("keys:write"),
  "DELETE /v1/integrations/links/{id}": route("keys:write"),
  // A trigger orders clips with the key that makes it.
  "GET /v1/triggers": route("clips:read"),
  "POST /v1/triggers": route("clips:write"),
  "GET /v1/triggers/{id}": route("clips:read"),
  "PATCH /v1/triggers/{id}": route("clips:write"),
  "DELETE /v1/triggers/{id}": route("clips:write"),
  "POST /v1/triggers/{id}/rotate": route("clips:write"),
  "POST /v1/triggers/{id}/preview": route("clips:read"),
  "GET /v1/triggers/{id}/deliveries": route("clips:read"),
  // What a token may do is bounded by its key's scopes, so making one asks for the least of them.
  "POST /v1/browser-tokens": route("clips:write"),
};

const asTemplate = (path: string) => path.replaceAll(/:(\w+)(\{[^}]*\})?/g, "{$1}");

/** Throws at start for a route that the table has forgotten. */
export function requireAccessOfAll(app: EdgeApp, open: readonly string[]): void {
  for (const { method, path } of app.routes) {
    const name = `${method} ${asTemplate(path)}`;
    if (method === "ALL" || method === "OPTIONS" || !path.startsWith("/v1/") || open.includes(name)) continue;
    if (ACCESS[name] === undefined) throw new Error(`edge/middleware/access.ts does not say who may call ${name}`);
  }
}

const patterns = Object.keys(ACCESS).map((name) => {
  const [method = "", path = ""] = name.split(" ");
  return { name, method, pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`) };
});

/** An address that answers other methods than the one that was asked with. */
export class MethodNotAllowed extends ApiError {
  readonly allowed: readonly string[];

  constructor(method: string, allowed: readonly string[]) {
    super("method_not_allowed", `There is no ${method} here; there is ${allowed.join(", ")}.`);
    this.allowed = allowed;
  }
}

function nothingHere({ method, path }: { readonly method: string; readonly path: string }): ApiError {
  const allowed = patterns.filter(({ pattern }) => pattern.test(path)).map((known) => known.method);
  return allowed.length === 0
    ? new ApiError("not_found", "There is nothing at this address.")
    : new MethodNotAllowed(method, allowed);
}

/** Throws scope_missing, not_found for what a browser token may not see, or method_not_allowed. */
export const requireScope = createMiddleware<EdgeEnv>(async (context, next) => {
  // The first handler that matches is the one that answers.
  const matched = matchedRoutes(context).find(({ method }) => method !== "ALL");
  const access = matched && ACCESS[`${matched.method} ${asTemplate(matched.path)}`];
  if (access === undefined) throw nothingHere(context.req);
  const bearer = context.get("caller");
  requireScopeOf(bearer, access.scope);
  if (bearer.token !== null) {
    if (access.browser === "never") {
      throw new ApiError("scope_missing", "Browser tokens may not do this; call it from your server with an API key.");
    }
    const clipId = idSchema("clip").safeParse(context.req.path.split("/")[3]);
    if (access.browser === "own clip" && clipId.success)
      await requireOwnClip(context.get("ports"), bearer, clipId.data);
  }
  await next();
});

const openToBrowsers = patterns.filter(({ name }) => ACCESS[name]?.browser !== "never");

/** With which methods a page's script may call this path by a browser token. */
export function browserMethods(path: string): readonly string[] {
  return openToBrowsers.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
}
