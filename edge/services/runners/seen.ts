// Notes that a runner polled and what it said about itself. Every poll writes: one small row in 25 seconds.
import { updateSighting } from "../../../db/queries/runners.ts";
import type { PollRequest } from "../../../shared/contract/runner.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import type { Ports } from "../ports.ts";

export async function noteSeen(ports: Pick<Ports, "db" | "clock">, id: RunnerId, poll: PollRequest): Promise<void> {
  await updateSighting(ports.db, id, {
    lastSeenMs: ports.clock.now(),
    models: poll.models,
    loadedModel: poll.loaded_model,
    version: poll.version,
  });
}
