// Who asks: a customer by API key, a runner by token, the operator by the deployment's own token.
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { ApiError } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import { equalInConstantTime, hex } from "../services/encoding.ts";
import { verifyKey } from "../services/keys/verify.ts";
import { verifyRunner } from "../services/runners/verify.ts";

function bearerToken(context: Context<EdgeEnv>): string {
  const match = /^Bearer +([A-Za-z0-9._~+/=-]{1,512}) *$/i.exec(context.req.header("authorization") ?? "");
  if (match?.[1] === undefined) {
    throw new ApiError("unauthenticated", "Send your secret as `Authorization: Bearer <secret>`.");
  }
  return match[1];
}

export const requireApiKey = createMiddleware<EdgeEnv>(async (context, next) => {
  context.set("caller", await verifyKey(context.get("ports"), bearerToken(context)));
  await next();
});

export const requireRunner = createMiddleware<EdgeEnv>(async (context, next) => {
  context.set("runner", await verifyRunner(context.get("ports"), bearerToken(context)));
  await next();
});

export const requireAdmin = createMiddleware<EdgeEnv>(async (context, next) => {
  const { digest } = context.get("ports");
  // Digests have one length, so that comparing them tells nothing, not even how long the token is.
  const presented = hex(await digest.sha256(bearerToken(context)));
  const expected = hex(await digest.sha256(context.get("settings").ADMIN_TOKEN));
  if (!equalInConstantTime(presented, expected)) throw new ApiError("unauthenticated", "The admin token is not valid.");
  await next();
});
