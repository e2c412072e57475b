// Looks at a picture that has been put: what was declared is compared with what lies in the bucket and with what the file
// says of itself. The first verdict stands.
import { findUploadOf, judgeUpload, type UploadRow } from "../../../db/queries/uploads.ts";
import { UPLOAD_LIMITS, type Upload } from "../../../shared/contract/uploads.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, UploadId } from "../../../shared/ids.ts";
import { strayDueMs } from "../files/remove.ts";
import type { Ports } from "../ports.ts";
import { HEADER_BYTES, type Picture, readPicture } from "./picture.ts";
import { noSuchUpload, uploadKey, viewUpload } from "./view.ts";

type Source = Pick<Ports, "db" | "clock" | "store" | "bell" | "times">;

/** Throws upload_missing while there is no file, upload_rejected once it was found to be wrong. */
export async function completeUpload(ports: Source, accountId: AccountId, id: UploadId): Promise<Upload> {
  const before = await findOwn(ports, accountId, id);
  if (before.state === "pending") await judge(ports, before);
  const row = before.state === "pending" ? await findOwn(ports, accountId, id) : before;
  if (row.state === "rejected") throw new ApiError("upload_rejected", row.rejection ?? "");
  return viewUpload(row);
}

async function findOwn(ports: Pick<Ports, "db" | "clock">, accountId: AccountId, id: UploadId): Promise<UploadRow> {
  const row = await findUploadOf(ports.db, accountId, id, ports.clock.now());
  if (row === undefined) throw noSuchUpload();
  return row;
}

async function judge(ports: Source, row: UploadRow): Promise<void> {
  const key = uploadKey(row.id);
  const stored = await ports.store.head(key);
  const body = stored === null ? null : await ports.store.read(key, 0, Math.min(HEADER_BYTES, stored.bytes));
  if (stored === null || body === null) throw new ApiError("upload_missing", "The file has not been put yet.");
  const picture = readPicture(new Uint8Array(await new Response(body).arrayBuffer()));
  const now = ports.clock.now();
  const found = examine(row, stored.bytes, picture);
  if (typeof found === "string") {
    await judgeUpload(ports.db, row.id, { state: "rejected", rejection: found }, now);
    return;
  }
  const { width, height } = found;
  // Not before its URL is dead, or that could bring the object back.
  const dueAtMs = Math.max(now + ports.times.uploadKeptMs, strayDueMs(row.createdAtMs, ports.times));
  await judgeUpload(ports.db, row.id, { state: "ready", width, height, dueAtMs }, now);
  await ports.bell.wakeBy(dueAtMs);
}

/** The picture, or what is wrong with it. */
function examine(row: UploadRow, bytes: number, picture: Picture | null): Picture | string {
  if (bytes !== row.bytes) return `The file was declared with ${row.bytes} bytes, but has ${bytes}.`;
  if (picture === null) return "The file is no PNG, JPEG or WebP, or its size does not stand in its first 256 KiB.";
  if (picture.type !== row.contentType) return `The file was declared as ${row.contentType}, but is ${picture.type}.`;
  const { min, max } = UPLOAD_LIMITS.side;
  const fits = (side: number) => side >= min && side <= max;
  if (fits(picture.width) && fits(picture.height)) return picture;
  return `The picture has ${picture.width}x${picture.height} pixels; each side has ${min} to ${max}.`;
}
