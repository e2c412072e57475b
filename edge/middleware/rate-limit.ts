// How often a key may call, and how often a trigger may be posted to, told with every answer by
// draft-ietf-httpapi-ratelimit-headers-10: RateLimit-Policy what is allowed ("q" in "w" seconds), RateLimit what is left of
// it ("r", full again after "t" seconds).
//
// Fails open: a Limiter that does not answer refuses nobody. It keeps one caller from crowding out the others; what money
// and machines are held to is checked by the database, whatever the Limiter says.
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { RateLimit, RatePolicy } from "../../shared/contract/rate-limits.ts";
import type { AccountId } from "../../shared/ids.ts";
import type { EdgeEnv } from "../context.ts";
import type { Draw, Drawn } from "../durable/limiter.ts";
import { describeError, log } from "../platform/log.ts";
import { LimitError } from "../services/clips/refusal.ts";
import { timestamp } from "../services/clips/view.ts";
import type { Bearer } from "../services/keys/verify.ts";
import type { Settings } from "../settings.ts";

interface NamedDraw extends Draw {
  readonly policy: RatePolicy;
}

function drawsOf({ keyId, tokenId }: Bearer, method: string, limits: Settings["RATE_LIMITS"]): NamedDraw[] {
  const kind = method === "GET" || method === "HEAD" ? "read" : "write";
  const draw = (policy: RatePolicy, of: string) => ({ policy, bucket: `${of} ${kind}`, limit: limits[policy] });
  return [draw(kind, keyId), ...(tokenId === null ? [] : [draw(`token_${kind}`, tokenId)])];
}

function whatIsAllowed(policy: RatePolicy, { quota, windowS }: RateLimit): string {
  if (policy === "trigger") return `The trigger takes ${quota} deliveries in ${windowS} s`;
  const whose = policy.startsWith("token_") ? "browser token" : "API key";
  return `The ${whose} may send ${quota} ${policy.endsWith("read") ? "read" : "write"} requests in ${windowS} s`;
}

function refusal(draws: readonly NamedDraw[], { fills }: Drawn): LimitError {
  const worst = draws
    .map(({ policy, limit }, i) => ({ policy, limit, waitMs: fills[i]?.nextInMs ?? 0 }))
    .reduce((a, b) => (b.waitMs > a.waitMs ? b : a));
  const { policy, limit, waitMs } = worst;
  return new LimitError(
    "rate_limited",
    `${whatIsAllowed(policy, limit)}; send this one again after Retry-After.`,
    { name: `${policy}_requests`, value: limit.quota, resets_at: timestamp(Date.now() + waitMs) },
    Math.max(1, Math.ceil(waitMs / 1_000)),
  );
}

/** Throws rate_limited. */
async function drawOn(context: Context<EdgeEnv>, accountId: AccountId, draws: readonly NamedDraw[]): Promise<void> {
  let drawn: Drawn | null = null;
  try {
    const sent = draws.map(({ bucket, limit }) => ({ bucket, limit }));
    drawn = await context.env.LIMITER.getByName(accountId).draw(sent);
  } catch (error) {
    log("warn", "limiter failed", { request_id: context.get("requestId"), error: describeError(error) });
  }
  if (drawn === null) return;
  const { fills, allowed } = drawn;
  const item = (name: string, parameters: string) => `"${name}";${parameters}`;
  const policies = draws.map(({ policy, limit }) => item(policy, `q=${limit.quota};w=${limit.windowS}`));
  const left = draws.map(({ policy }, i) =>
    item(policy, `r=${fills[i]?.remaining ?? 0};t=${Math.ceil((fills[i]?.fullInMs ?? 0) / 1_000)}`),
  );
  context.header("ratelimit-policy", policies.join(", "));
  context.header("ratelimit", left.join(", "));
  if (!allowed) throw refusal(draws, drawn);
}

/** Throws rate_limited. */
export const limitRate = createMiddleware<EdgeEnv>(async (context, next) => {
  const caller = context.get("caller");
  await drawOn(context, caller.accountId, drawsOf(caller, context.req.method, context.get("settings").RATE_LIMITS));
  await next();
});

/** Of one trigger, so that its senders take nothing from the key that it orders with. Throws rate_limited. */
export const limitTriggerRate = createMiddleware<EdgeEnv>(async (context, next) => {
  const { id, accountId } = context.get("trigger").trigger;
  const limit = context.get("settings").RATE_LIMITS.trigger;
  await drawOn(context, accountId, [{ policy: "trigger", bucket: id, limit }]);
  await next();
});
