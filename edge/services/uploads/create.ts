// Signs the PUT of one picture. Length and type are signed, and it may create but not overwrite: what has been looked at
// stays what it was.
import { insertUpload, type UploadRow } from "../../../db/queries/uploads.ts";
import { type CreateUpload, UPLOAD_LIMITS, type Upload } from "../../../shared/contract/uploads.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { timestamp } from "../clips/view.ts";
import { strayDueMs } from "../files/remove.ts";
import { newIdAt } from "../identifiers.ts";
import type { Ports } from "../ports.ts";
import { uploadKey, viewUpload } from "./view.ts";

/** Throws rate_limited when the account keeps too many. */
export async function createUpload(
  ports: Pick<Ports, "db" | "clock" | "random" | "signer" | "bell" | "times">,
  accountId: AccountId,
  request: CreateUpload,
): Promise<Upload> {
  const createdAtMs = ports.clock.now();
  const row: UploadRow = {
    id: newIdAt(ports, "upload", createdAtMs),
    accountId,
    state: "pending",
    contentType: request.content_type,
    bytes: request.bytes,
    width: null,
    height: null,
    rejection: null,
    createdAtMs,
    dueAtMs: strayDueMs(createdAtMs, ports.times),
  };
  if (!(await insertUpload(ports.db, row, UPLOAD_LIMITS.kept))) {
    const detail = `An account keeps at most ${UPLOAD_LIMITS.kept} uploads; delete one, or wait until one expires.`;
    throw new ApiError("rate_limited", detail);
  }
  await ports.bell.wakeBy(row.dueAtMs);
  const headers = {
    "content-length": String(row.bytes),
    "content-type": row.contentType,
    "if-none-match": "*",
  };
  const { uploadUrlMs: validMs } = ports.times;
  const url = await ports.signer.signPut({ key: uploadKey(row.id), headers, nowMs: createdAtMs, validMs });
  return viewUpload(row, { url, headers, expires_at: timestamp(createdAtMs + validMs) });
}
