import { findUploadOf } from "../../../db/queries/uploads.ts";
import type { Upload } from "../../../shared/contract/uploads.ts";
import type { AccountId, UploadId } from "../../../shared/ids.ts";
import type { Ports } from "../ports.ts";
import { noSuchUpload, viewUpload } from "./view.ts";

export async function getUpload(
  ports: Pick<Ports, "db" | "clock">,
  accountId: AccountId,
  id: UploadId,
): Promise<Upload> {
  const row = await findUploadOf(ports.db, accountId, id, ports.clock.now());
  if (row === undefined) throw noSuchUpload();
  return viewUpload(row);
}
