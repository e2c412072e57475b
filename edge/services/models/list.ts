// The models on offer: what each makes, at which price, and whether anything is there just now to make it.
import { countServing } from "../../../db/queries/place.ts";
import { LIMITS } from "../../../shared/contract/clips.ts";
import type { Model } from "../../../shared/contract/models.ts";
import { FRAMES_PER_SECOND, MAX_STEPS, MIN_FRAMES, MODELS, type ModelSpec } from "../../../shared/models.ts";
import type { Ports } from "../ports.ts";

type Source = Pick<Ports, "db" | "clock" | "times">;

export async function listModels(ports: Source): Promise<Model[]> {
  return await Promise.all(MODELS.map(async (model) => await viewModel(ports, model)));
}

async function viewModel({ db, clock, times }: Source, model: ModelSpec): Promise<Model> {
  return {
    id: model.id,
    object: "model",
    task: model.task,
    sizes: [...model.sizes],
    default_frames: model.defaultFrames,
    min_frames: MIN_FRAMES,
    max_frames: model.maxFrames,
    frames_per_second: FRAMES_PER_SECOND,
    max_steps: MAX_STEPS,
    max_prompt_characters: LIMITS.promptCharacters,
    base_price_micros: model.basePriceMicros,
    available: (await countServing(db, model.id, clock.now() - times.leaseMs)) > 0,
  };
}
