// What clients order: mostly good, now and then not.

import type { Random } from "../random.ts";
import type { Requests } from "../world/operation.ts";

export const MODELS = ["turboclip-demo", "turbowan2.1-t2v-1.3b-480p"] as const;

type Body = Requests["create"]["body"];

export function drawBody(random: Random): Body {
  const body: Body = {
    model: random.chance(0.85) ? MODELS[0] : MODELS[1],
    prompt: `clip ${random.bits().toString(36)}`,
    steps: random.between(1, 4),
    sampler: "sde",
    priority: random.chance(0.25) ? "low" : "normal",
    ...(random.chance(0.5) && { frames: random.pick([5, 17, 33]) }),
    ...(random.chance(0.2) && { expires_after: random.pick([10, 40, 600]) }),
    ...(random.chance(0.5) && { seed: random.between(0, 1_000) }),
  };
  const fault = random.weighted({ none: 95, prompt: 1, model: 2, frames: 2 });
  if (fault === "prompt") return { ...body, prompt: " " };
  if (fault === "model") return { ...body, model: "no-such-model" };
  return fault === "frames" ? { ...body, frames: 6 } : body;
}
