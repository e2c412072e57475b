// The bucket, by its binding for reading and by signed S3 URLs for writing: uploads go straight to R2, never
// through the Worker.
import { AwsV4Signer } from "aws4fetch";
import { base64 } from "../services/encoding.ts";
import type { ObjectStore, UploadSigner } from "../services/ports.ts";
import type { Settings } from "../settings.ts";

export function bucketStore(bucket: R2Bucket): ObjectStore {
  return {
    async head(key) {
      const object = await bucket.head(key);
      if (object === null) return null;
      const { md5 } = object.checksums;
      return {
        bytes: object.size,
        md5: md5 === undefined ? null : base64(new Uint8Array(md5)),
        etag: object.httpEtag,
      };
    },
    async read(key, offset, length) {
      const object = await bucket.get(key, length > 0 ? { range: { offset, length } } : {});
      return object?.body ?? null;
    },
    async remove(keys) {
      await bucket.delete([...keys]);
    },
  };
}

type S3Settings = Pick<Settings, "R2_S3_ENDPOINT" | "R2_BUCKET" | "R2_ACCESS_KEY_ID" | "R2_SECRET_ACCESS_KEY">;

/** AWS Signature Version 4 in the query, over every header given: R2 refuses a PUT whose headers differ. */
export function uploadSigner(settings: S3Settings): UploadSigner {
  return {
    async signPut({ key, headers, nowMs, validMs }) {
      const url = new URL(`${settings.R2_S3_ENDPOINT}/${settings.R2_BUCKET}/${key}`);
      url.searchParams.set("X-Amz-Expires", String(Math.ceil(validMs / 1000)));
      const signed = await new AwsV4Signer({
        method: "PUT",
        url: url.href,
        headers,
        accessKeyId: settings.R2_ACCESS_KEY_ID,
        secretAccessKey: settings.R2_SECRET_ACCESS_KEY,
        service: "s3",
        region: "auto",
        datetime: new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, ""),
        signQuery: true,
        allHeaders: true, // otherwise content-length and content-type are left out of the signature
      }).sign();
      return signed.url.href;
    },
  };
}
