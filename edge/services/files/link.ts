// Signed download URLs: `<origin>/v1/files/<clip>/<kind>?attempt=2&expires=<unix seconds>&kid=k1&sig=<HMAC>`.
// The signature covers method, object and expiry, so that no part can be changed; whoever has the URL may
// read that one object until then. It needs no database to be checked.
import type { OutputKind } from "../../../shared/contract/runner.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { ClipId } from "../../../shared/ids.ts";
import { base64url, equalInConstantTime } from "../encoding.ts";
import type { Ports, SigningKey } from "../ports.ts";
import { outputKey } from "./output.ts";

export interface DownloadTarget {
  readonly clipId: ClipId;
  readonly attempt: number;
  readonly kind: OutputKind;
}

type Source = Pick<Ports, "digest" | "signingKeys">;

/** HEAD asks about what GET would give, so one signature serves both; it serves nothing else. */
async function signature(ports: Pick<Ports, "digest">, key: SigningKey, target: DownloadTarget, expires: number) {
  const object = outputKey(target.clipId, target.attempt, target.kind);
  const text = ["turboclip download 1", "GET", object, expires, key.id].join("\n");
  return base64url(await ports.digest.hmacSha256(key.secret, text));
}

export async function signDownload(
  ports: Source & Pick<Ports, "publicOrigin">,
  target: DownloadTarget & { readonly expiresAtMs: number },
): Promise<string> {
  const [key] = ports.signingKeys;
  const expires = Math.ceil(target.expiresAtMs / 1000);
  const query = new URLSearchParams({
    attempt: String(target.attempt),
    expires: String(expires),
    kid: key.id,
    sig: await signature(ports, key, target, expires),
  });
  return `${ports.publicOrigin}/v1/files/${target.clipId}/${target.kind}?${query.toString()}`;
}

export interface PresentedLink extends DownloadTarget {
  /** Unix seconds. */
  readonly expires: number;
  readonly kid: string;
  readonly sig: string;
}

/** Throws `unauthenticated` for a URL that we did not sign just so, `expired` for one whose time is over. */
export async function verifyDownload(ports: Source & Pick<Ports, "clock">, link: PresentedLink): Promise<void> {
  const key = ports.signingKeys.find(({ id }) => id === link.kid);
  const genuine = key !== undefined && equalInConstantTime(link.sig, await signature(ports, key, link, link.expires));
  if (!genuine) throw new ApiError("unauthenticated", "The signature of this URL is not valid.");
  if (link.expires * 1000 <= ports.clock.now()) {
    throw new ApiError("expired", "This URL has expired; get the clip again for a fresh one.");
  }
}
