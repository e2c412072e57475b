// An upload as its owner sees it, and where it lies in the bucket.
import type { UploadRow } from "../../../db/queries/uploads.ts";
import type { Upload } from "../../../shared/contract/uploads.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { UploadId } from "../../../shared/ids.ts";
import { timestamp } from "../clips/view.ts";

export function uploadKey(id: UploadId): string {
  return `uploads/${id}`;
}

/** One answer for absent and foreign uploads alike. */
export function noSuchUpload(): ApiError {
  return new ApiError("not_found", "There is no such upload.");
}

export function viewUpload(row: UploadRow, put: Upload["put"] = null): Upload {
  const { id, state, contentType, bytes, width, height, rejection } = row;
  if (state === "deleted") throw new RangeError("a deleted upload is not shown");
  return {
    ...{ id, object: "upload", state, content_type: contentType, bytes, width, height, rejection, put },
    created_at: timestamp(row.createdAtMs),
    expires_at: timestamp(row.dueAtMs),
  };
}
