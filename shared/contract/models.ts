// The models on offer, as GET /v1/models answers them.
import * as z from "zod";

export const modelSchema = z
  .object({
    id: z.string(),
    object: z.literal("model"),
    task: z.enum(["text-to-video", "image-to-video"]),
    sizes: z.array(z.string()).meta({ description: "The first is the default" }),
    default_frames: z.int(),
    max_frames: z.int(),
    frames_per_second: z.int(),
    base_price_micros: z
      .partialRecord(z.enum(["480p", "720p"]), z.int())
      .meta({ description: "For 81 frames; a clip costs ceil(base * frames / 81)" }),
  })
  .meta({ id: "Model" });

export const modelListSchema = z.object({ data: z.array(modelSchema) }).meta({ id: "ModelList" });
