// Pictures that customers bring: a signed PUT straight to the bucket, looked at afterwards.
import * as z from "zod";
import { idSchema } from "../ids.ts";

export const PICTURE_TYPES = ["image/png", "image/jpeg", "image/webp"] as const;
export type PictureType = (typeof PICTURE_TYPES)[number];

export const UPLOAD_LIMITS = {
  bytes: 20 * 1024 * 1024,
  /** Pixels of each side. */
  side: { min: 64, max: 8_192 },
  /** Uploads of an account that are kept at once. */
  kept: 100,
} as const;

export const UPLOAD_STATES = ["pending", "ready", "rejected"] as const;

export const createUploadSchema = z
  .strictObject({
    content_type: z.enum(PICTURE_TYPES),
    bytes: z.int().min(1).max(UPLOAD_LIMITS.bytes).meta({ description: "Exactly: the PUT must have this length" }),
  })
  .meta({ id: "CreateUpload" });
export type CreateUpload = z.infer<typeof createUploadSchema>;

const timestamp = z.iso.datetime();

export const uploadSchema = z
  .object({
    id: idSchema("upload"),
    object: z.literal("upload"),
    state: z.enum(UPLOAD_STATES).meta({ description: "Pending until it is completed" }),
    content_type: z.enum(PICTURE_TYPES),
    bytes: z.int(),
    width: z.int().nullable().meta({ description: "Pixels, as found in the file; null until it is ready" }),
    height: z.int().nullable(),
    rejection: z.string().nullable().meta({ description: "Why it was rejected" }),
    put: z
      .object({ url: z.url(), headers: z.record(z.string(), z.string()), expires_at: timestamp })
      .nullable()
      .meta({ description: "Where to PUT the file, with exactly these headers; only in the answer to the create" }),
    created_at: timestamp,
    expires_at: timestamp.meta({ description: "When it is removed" }),
  })
  .meta({ id: "Upload" });
export type Upload = z.infer<typeof uploadSchema>;
