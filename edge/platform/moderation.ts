// The moderators that a deployment's settings name.

import { moderatorByHttp } from "../services/moderation/remote.ts";
import { moderatorByTerms } from "../services/moderation/terms.ts";
import type { Moderation } from "../services/ports.ts";
import type { Settings } from "../settings.ts";
import { dnsOverHttps, outbound } from "./outbound.ts";

export function moderationOf(settings: Settings): Moderation {
  const { MODERATION_TERMS: terms, MODERATION_URL: url, MODERATION_SECRET: secret } = settings;
  const ports = {
    clock: { now: () => Date.now() },
    random: { bytes: (count: number) => crypto.getRandomValues(new Uint8Array(count)) },
    outbound,
    resolver: dnsOverHttps,
    trustedHosts: settings.WEBHOOK_TRUSTED_HOSTS,
    publicOrigin: settings.PUBLIC_ORIGIN,
  };
  return {
    moderators: [
      ...(terms.length === 0 ? [] : [moderatorByTerms(terms)]),
      ...(url === undefined || secret === undefined ? [] : [moderatorByHttp(ports, { url, secret })]),
    ],
    withoutVerdict: settings.MODERATION_WITHOUT_VERDICT,
  };
}
