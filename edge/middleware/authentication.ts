// Who asks: a customer by API key or browser token, a customer's other system by the URL of a trigger, a runner by token, the
// operator by the deployment's own token.
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { ApiError } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import { describeError, log } from "../platform/log.ts";
import { BROWSER_TOKEN } from "../services/credential.ts";
import { equalInConstantTime, hex } from "../services/encoding.ts";
import { verifyBrowserToken } from "../services/keys/browser-token.ts";
import { noteKeyUse } from "../services/keys/use.ts";
import { type Bearer, verifyKey } from "../services/keys/verify.ts";
import { verifyRunner } from "../services/runners/verify.ts";
import { openTrigger } from "../services/triggers/address.ts";

function bearerToken(context: Context<EdgeEnv>): string {
  const match = /^Bearer +([A-Za-z0-9._~+/=-]{1,512}) *$/i.exec(context.req.header("authorization") ?? "");
  if (match?.[1] === undefined) {
    throw new ApiError("unauthenticated", "Send your secret as `Authorization: Bearer <secret>`.");
  }
  return match[1];
}

/** Nobody's request fails because a note could not be taken; the next one takes it. */
async function noteUse(context: Context<EdgeEnv>, used: Pick<Bearer, "key">): Promise<void> {
  try {
    await noteKeyUse(context.get("ports"), used);
  } catch (error) {
    log("warn", "key use not noted", { request_id: context.get("requestId"), error: describeError(error) });
  }
}

/** Of an API key or a browser token. Throws unauthenticated, key_revoked or key_expired. */
export const requireApiKey = createMiddleware<EdgeEnv>(async (context, next) => {
  const ports = context.get("ports");
  const presented = bearerToken(context);
  const verify = presented.startsWith(`${BROWSER_TOKEN.prefix}_`) ? verifyBrowserToken : verifyKey;
  const bearer = await verify(ports, presented);
  context.set("caller", bearer);
  await noteUse(context, bearer);
  await next();
});

/** By the token in the URL, of which nothing may be logged. Throws not_found. */
export const requireTriggerUrl = createMiddleware<EdgeEnv>(async (context, next) => {
  const opened = await openTrigger(context.get("ports"), context.req.param("token") ?? "");
  context.set("trigger", opened);
  await noteUse(context, opened);
  await next();
});

export const requireRunner = createMiddleware<EdgeEnv>(async (context, next) => {
  context.set("runner", await verifyRunner(context.get("ports"), bearerToken(context)));
  await next();
});

/** Digests have one length, so that comparing them tells nothing, not even how long the token is. */
async function isOneOf(context: Context<EdgeEnv>, tokens: readonly string[]): Promise<boolean> {
  const { digest } = context.get("ports");
  const hash = async (token: string) => hex(await digest.sha256(token));
  const presented = await hash(bearerToken(context));
  const known = await Promise.all(tokens.map(hash));
  return known.filter((expected) => equalInConstantTime(presented, expected)).length > 0;
}

export const requireAdmin = createMiddleware<EdgeEnv>(async (context, next) => {
  if (!(await isOneOf(context, [context.get("settings").ADMIN_TOKEN]))) {
    throw new ApiError("unauthenticated", "The admin token is not valid.");
  }
  await next();
});

/** Whoever scrapes metrics needs a token that opens nothing else; the operator's own does too. */
export const requireScraper = createMiddleware<EdgeEnv>(async (context, next) => {
  const { ADMIN_TOKEN, METRICS_TOKEN } = context.get("settings");
  if (!(await isOneOf(context, [ADMIN_TOKEN, ...(METRICS_TOKEN === undefined ? [] : [METRICS_TOKEN])]))) {
    throw new ApiError("unauthenticated", "The token is neither METRICS_TOKEN nor the admin token.");
  }
  await next();
});
