// The models on offer, as GET /v1/models answers them.
import * as z from "zod";

export const modelSchema = z
  .object({
    id: z.string(),
    object: z.literal("model"),
    task: z.enum(["text-to-video", "image-to-video"]),
    sizes: z.array(z.string()).meta({ description: "The first is the default" }),
    default_frames: z.int(),
    min_frames: z.int().meta({ description: "Every fourth number from here on is made: 5, 9, 13 ..." }),
    max_frames: z.int(),
    frames_per_second: z.int(),
    max_steps: z.int(),
    max_prompt_characters: z.int(),
    base_price_micros: z.partialRecord(z.enum(["480p", "720p"]), z.int()).meta({
      description: "For 81 frames; a clip costs ceil(base * frames / 81). Sizes of at most 640 x 640 pixels are 480p",
    }),
    available: z.boolean().meta({
      description:
        "Whether a machine that makes it is there just now. An order is taken without one, waits, and expires",
    }),
  })
  .meta({ id: "Model" });
export type Model = z.infer<typeof modelSchema>;

export const modelListSchema = z.object({ data: z.array(modelSchema) }).meta({ id: "ModelList" });
