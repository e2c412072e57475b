// How long an event takes to all who watch: from the request that changes a clip being sent to each watcher having read the
// change as a server-sent event. The edge is the real Worker under `wrangler dev`, and shares the machine with the watchers.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TurboclipClient } from "../client/index.ts";
import { createAccount } from "../scripts/local/account.ts";
import { type Edge, freePort, startEdge } from "../scripts/local/edge.ts";
import { percentile, type Result } from "./table.ts";

const WATCHERS = 500;
const ROUNDS = 5;
/** All on one clip, and ten on each. */
const CLIPS = [1, 50] as const;

interface Watcher {
  /** When its clip's end was read. */
  readonly ended: Promise<number>;
}

/** Resolves once the stream's first event, the clip as it stands, is read. */
async function watch(edge: Edge, apiKey: string, id: string): Promise<Watcher> {
  const answer = await fetch(`${edge.origin}/v1/clips/${id}/events`, {
    headers: { authorization: `Bearer ${apiKey}` },
  });
  if (answer.status !== 200 || answer.body === null) throw new Error(`events answered ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const readUntil = async (part: string): Promise<number> => {
    while (!text.includes(part)) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`a stream ended before ${part}: ${text.slice(-200)}`);
      text += value;
    }
    return performance.now();
  };
  await readUntil('"state":"queued"');
  return { ended: readUntil('"state":"cancelled"') };
}

/** Milliseconds from each cancel being sent to each of its watchers having read it. */
async function round(edge: Edge, apiKey: string, clips: number): Promise<number[]> {
  const client = new TurboclipClient({ origin: edge.origin, apiKey });
  const ids: string[] = [];
  for (let i = 0; i < clips; i++) {
    ids.push((await client.createClip({ model: "turboclip-demo", prompt: "watched" })).id);
  }
  const watched = await Promise.all(
    ids.map(async (id) => await Promise.all(Array.from({ length: WATCHERS / clips }, () => watch(edge, apiKey, id)))),
  );
  const waits: number[] = [];
  for (const [i, id] of ids.entries()) {
    const sent = performance.now();
    await client.cancelClip(id);
    for (const { ended } of watched[i] ?? []) waits.push((await ended) - sent);
  }
  return waits;
}

export async function sseWatchers(): Promise<Result> {
  const home = await mkdtemp(join(tmpdir(), "turboclip-bench-"));
  const edge = await startEdge({ home, port: await freePort() });
  try {
    const { apiKey } = await createAccount(edge, "bench", 1_000_000);
    const rows: Result["rows"][number][] = [];
    for (const clips of CLIPS) {
      await round(edge, apiKey, clips); // to warm up
      const waits: number[] = [];
      for (let i = 0; i < ROUNDS; i++) waits.push(...(await round(edge, apiKey, clips)));
      const who = clips === 1 ? `${WATCHERS} watch one clip` : `${WATCHERS} watch ${clips} clips`;
      for (const share of [0.5, 0.99, 1]) {
        const measured = `${percentile(waits, share).toFixed(0)} ms`;
        rows.push({ what: `${who}: change sent to change read, p${share * 100}`, measured, aim: "" });
      }
    }
    return {
      title: "A change of a clip to 500 watchers",
      rows,
      notes: [
        `Each watcher has a connection of its own and had read the clip's first event. ${ROUNDS} rounds after one to warm up; ` +
          "the change is a cancel, whose own commit is in the figure. Edge under `wrangler dev` on the same machine.",
      ],
    };
  } finally {
    await edge.service.stop();
    await rm(home, { recursive: true, force: true });
  }
}
