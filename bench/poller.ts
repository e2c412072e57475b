// A runner that is only its poll, for benchmarks of the edge alone: no engine time is in their figures.
import { createRunner } from "../scripts/local/account.ts";
import type { Edge } from "../scripts/local/edge.ts";
import { claimSchema } from "../shared/contract/runner.ts";

const POLL_WAIT_S = 25;

export interface Poller {
  /** Asks for work until there is some, and reads the claim's clip id. */
  poll(): Promise<string>;
}

export async function makePoller(edge: Edge, model: string): Promise<Poller> {
  const runner = await createRunner(edge, "bench");
  const ask = () =>
    fetch(`${edge.origin}/runner/v1/poll`, {
      method: "POST",
      headers: { authorization: `Bearer ${runner.token}`, "content-type": "application/json" },
      body: JSON.stringify({
        runner_id: runner.runnerId,
        nonce: crypto.randomUUID(),
        models: [model],
        loaded_model: model,
        version: "0.1.0",
        wait_s: POLL_WAIT_S,
      }),
    });
  return {
    async poll() {
      for (;;) {
        const answer = await ask();
        if (answer.status === 200) return claimSchema.parse(await answer.json()).clip_id;
        if (answer.status !== 204) throw new Error(`poll answered ${answer.status}: ${await answer.text()}`);
      }
    },
  };
}
