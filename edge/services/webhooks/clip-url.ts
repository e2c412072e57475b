// A URL for one clip only. What is sent there is signed by the account's secret, so there must be one.
import { selectSecrets } from "../../../db/queries/webhooks/secrets.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId } from "../../../shared/ids.ts";
import type { Ports } from "../ports.ts";
import { checkTarget } from "./guard.ts";

const POINTER = "/webhook_url";
type Source = Pick<Ports, "db" | "clock" | "resolver" | "trustedHosts" | "publicOrigin">;

/** The normalised URL, or null when none is wanted. Throws invalid_request. */
export async function checkClipUrl(
  ports: Source,
  accountId: AccountId,
  url: string | undefined,
): Promise<string | null> {
  if (url === undefined) return null;
  const target = await checkTarget(ports, url, POINTER);
  if ((await selectSecrets(ports.db, accountId, ports.clock.now())).length === 0) {
    const detail = "There is no secret to sign with; POST /v1/webhook-secret/rotate makes one.";
    throw new ApiError("invalid_request", detail, POINTER);
  }
  return target;
}
