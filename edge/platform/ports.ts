// The ports of services.ts on Cloudflare: D1, R2, Durable Objects, WebCrypto and the real clock.
import { openDatabase } from "../../db/database.ts";
import manifest from "../../package.json" with { type: "json" };
import type { Bell, Digest, Ports } from "../services/ports.ts";
import type { Settings } from "../settings.ts";
import { log } from "./log.ts";
import { moderationOf } from "./moderation.ts";
import { remoteFeed, remoteOutboxes } from "./objects.ts";
import { dnsOverHttps, outbound } from "./outbound.ts";
import { bucketStore, uploadSigner } from "./store.ts";
import { stripePayments } from "./stripe.ts";
import { aesVault } from "./vault.ts";

const utf8 = new TextEncoder();

const digest: Digest = {
  async sha256(text) {
    return new Uint8Array(await crypto.subtle.digest("SHA-256", utf8.encode(text)));
  },
  async hmacSha256(key, text) {
    const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    return new Uint8Array(await crypto.subtle.sign("HMAC", imported, utf8.encode(text)));
  },
};

export function cloudflarePorts(env: Env, settings: Settings, bell: Bell, requestId: string | null = null): Ports {
  return {
    db: openDatabase(env.DB),
    clock: { now: () => Date.now() },
    random: { bytes: (count) => crypto.getRandomValues(new Uint8Array(count)) },
    digest,
    bell,
    feed: remoteFeed(env.FEED),
    signer: uploadSigner(settings),
    store: bucketStore(env.BUCKET),
    outbound,
    resolver: dnsOverHttps,
    vault: aesVault(settings.ENCRYPTION_KEYS),
    outboxes: remoteOutboxes(env.OUTBOX),
    moderation: moderationOf(settings),
    payments: stripePayments(settings),
    log: (level, message, fields) =>
      log(level, message, { ...(requestId !== null && { request_id: requestId }), ...fields }),
    requestId,
    trustedHosts: settings.WEBHOOK_TRUSTED_HOSTS,
    times: settings.LEASE_TIMES,
    signingKeys: settings.SIGNING_KEYS,
    publicOrigin: settings.PUBLIC_ORIGIN,
    version: manifest.version,
  };
}
