// Browser tokens: what a web page's visitor holds instead of a key. One speaks for the key that made it, for an hour at
// most, from the pages of its origins, and only about the clips that were ordered with it.
import {
  dropBrowserTokens,
  findBrowserToken,
  findNextTokenExpiry,
  insertBrowserToken,
  orderedWith,
} from "../../../db/queries/tokens.ts";
import type { BrowserToken, CreateBrowserToken } from "../../../shared/contract/keys.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { ClipId } from "../../../shared/ids.ts";
import { noSuchClip } from "../clips/get.ts";
import { timestamp } from "../clips/view.ts";
import { BROWSER_TOKEN, credentialId, hashCredential, issueCredential } from "../credential.ts";
import { equalInConstantTime } from "../encoding.ts";
import { HOUSEKEEPING_MS } from "../housekeeping.ts";
import type { Ports } from "../ports.ts";
import { requireWithin } from "./reach.ts";
import { type Bearer, requireActive } from "./verify.ts";

/** Throws exceeds_own_key. It never outlives its key. */
export async function issueBrowserToken(
  ports: Pick<Ports, "db" | "clock" | "random" | "digest" | "bell">,
  { key }: Bearer,
  wanted: CreateBrowserToken,
): Promise<BrowserToken> {
  const { scopes, origins, max_clips } = wanted;
  requireWithin(key, { scopes });
  const { id, secret, sha256 } = await issueCredential(ports, BROWSER_TOKEN);
  const createdAtMs = ports.clock.now();
  const expiresAtMs = Math.min(createdAtMs + wanted.expires_in * 1_000, key.expiresAtMs ?? Number.POSITIVE_INFINITY);
  const row = { id, keyId: key.id, sha256, scopes, origins, clips: 0, maxClips: max_clips, createdAtMs, expiresAtMs };
  await insertBrowserToken(ports.db, row);
  await ports.bell.wakeBy(expiresAtMs + HOUSEKEEPING_MS);
  return {
    id,
    object: "browser_token",
    token: secret,
    key_id: key.id,
    scopes,
    origins,
    max_clips,
    expires_at: timestamp(expiresAtMs),
  };
}

/** What it may do is what both it and its key may. Throws unauthenticated, key_revoked or key_expired. */
export async function verifyBrowserToken(
  ports: Pick<Ports, "db" | "clock" | "digest">,
  presented: string,
): Promise<Bearer> {
  const id = credentialId(BROWSER_TOKEN, presented);
  const found = id === null ? undefined : await findBrowserToken(ports.db, id);
  if (found === undefined || !equalInConstantTime(found.token.sha256, await hashCredential(ports, presented))) {
    throw new ApiError("unauthenticated", "The browser token is not valid, or has expired.");
  }
  const { token, key } = found;
  requireActive(key, ports.clock.now());
  if (token.expiresAtMs <= ports.clock.now()) throw new ApiError("key_expired", "The browser token has expired.");
  const scopes = token.scopes.filter((scope) => key.scopes.includes(scope));
  return { accountId: key.accountId, keyId: key.id, tokenId: token.id, scopes, key, token };
}

/** To a browser token, a clip that was not ordered with it is as if it were absent. */
export async function requireOwnClip(ports: Pick<Ports, "db">, bearer: Bearer, clipId: ClipId): Promise<void> {
  if (bearer.tokenId === null) return;
  if (!(await orderedWith(ports.db, bearer.tokenId, bearer.accountId, clipId))) throw noSuchClip();
}

/** Drops expired tokens. Returns when to come back, or null when there is none. */
export async function forgetBrowserTokens(ports: Pick<Ports, "db" | "clock">): Promise<number | null> {
  const now = ports.clock.now();
  await dropBrowserTokens(ports.db, now);
  const next = await findNextTokenExpiry(ports.db);
  return next === null ? null : Math.max(next, now + HOUSEKEEPING_MS);
}
