// Size and digests of a file, in one read: MD5 for the upload's Content-MD5, SHA-256 for the record.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

export interface FileDigest {
  readonly bytes: number;
  /** Base64, as in Content-MD5. */
  readonly md5: string;
  /** Lower-case hex. */
  readonly sha256: string;
}

export async function digestFile(path: string): Promise<FileDigest> {
  const md5 = createHash("md5");
  const sha256 = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path)) {
    const data: Buffer = chunk;
    bytes += data.length;
    md5.update(data);
    sha256.update(data);
  }
  return { bytes, md5: md5.digest("base64"), sha256: sha256.digest("hex") };
}
