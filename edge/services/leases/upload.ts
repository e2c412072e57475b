// Signs the URL for one output file. The key holds the attempt and the PUT may create but not overwrite, so
// the bytes of one attempt can never take the place of another's.
import { OUTPUT_TYPES, type UploadReply, type UploadRequest } from "../../../shared/contract/runner.ts";
import { isTerminal } from "../../../shared/states.ts";
import { outputKey } from "../files/output.ts";
import type { Ports } from "../ports.ts";
import { type AttemptRef, findAttempt, leaseLost } from "./attempt.ts";

export async function signUpload(
  ports: Pick<Ports, "db" | "clock" | "signer" | "times">,
  ref: AttemptRef,
  upload: UploadRequest,
): Promise<UploadReply> {
  const row = await findAttempt(ports, ref);
  if (isTerminal(row.state)) throw leaseLost();
  const headers = {
    "content-length": String(upload.bytes),
    "content-type": OUTPUT_TYPES[upload.kind],
    "content-md5": upload.md5,
    "if-none-match": "*",
  };
  const key = outputKey(row.id, row.attempt, upload.kind);
  const url = await ports.signer.signPut({ key, headers, nowMs: ports.clock.now(), validMs: ports.times.uploadUrlMs });
  return { url, headers };
}
