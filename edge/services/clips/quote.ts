// From what was asked to what will be made, and the price of each clip. Each refusal has its own code and names the member.
import { type CreateClip, LIMITS } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import { findModel, framesAreValid, MODELS, type ModelSpec, type Size } from "../../../shared/models.ts";
import { type Micros, priceOf } from "../../../shared/pricing.ts";

export interface Quote {
  readonly model: ModelSpec;
  readonly size: Size;
  readonly frames: number;
  readonly priceMicros: Micros;
}

export function quoteClip(request: CreateClip): Quote {
  checkPrompt(request.prompt);
  checkSeeds(request);
  const model = findModel(request.model);
  if (model === undefined) {
    const known = MODELS.map(({ id }) => id).join(", ");
    throw new ApiError("model_unknown", `There is no such model; there are ${known}.`, "/model");
  }
  const size = request.size ?? model.sizes[0];
  if (size === undefined || !model.sizes.includes(size)) {
    throw new ApiError("size_not_allowed", `${model.id} makes ${model.sizes.join(", ")}, not ${size}.`, "/size");
  }
  if (request.image !== undefined) {
    // Every model of the registry is text-to-video.
    const detail = `${model.id} makes video from text alone and takes no picture, as every model on offer; leave it out.`;
    throw new ApiError("input_not_allowed", detail, "/image");
  }
  const frames = request.frames ?? model.defaultFrames;
  if (!framesAreValid(frames, model)) {
    const allowed = `4n+1 frames: 5, 9, 13 and so on up to ${model.maxFrames}`;
    throw new ApiError("frames_invalid", `${model.id} makes ${allowed}, not ${frames}.`, "/frames");
  }
  return { model, size, frames, priceMicros: priceOf(model, size, frames) };
}

/** Of several clips each has the seed after the one before. */
function checkSeeds({ seed = 0, n = 1 }: CreateClip): void {
  const last = Number.MAX_SAFE_INTEGER - (n - 1);
  if (seed > last) throw new ApiError("invalid_request", `A seed for ${n} clips is at most ${last}.`, "/seed");
}

function checkPrompt(prompt: string): void {
  if (prompt.trim() === "") throw new ApiError("prompt_empty", "Say what the clip shows.", "/prompt");
  if (prompt.length > LIMITS.promptCharacters) {
    const detail = `A prompt has at most ${LIMITS.promptCharacters} characters, this one has ${prompt.length}.`;
    throw new ApiError("prompt_too_long", detail, "/prompt");
  }
  if (!prompt.isWellFormed()) {
    throw new ApiError("invalid_request", "The prompt has half a surrogate pair, which is no text.", "/prompt");
  }
}
