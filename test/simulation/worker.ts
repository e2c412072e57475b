// One thread of a run: it loads the edge once, unchanged or as one mutant, and simulates the seeds it is given.
import { parentPort, workerData } from "node:worker_threads";
import "./hooks.ts";
import { type Edit, useEdits } from "./sources.ts";

export interface WorkerJob {
  readonly edits: readonly Edit[];
}

const { edits } = workerData as WorkerJob;
useEdits(edits);
const { simulate } = await import("./simulate.ts");
parentPort?.on("message", async ({ seed, keepTrace }: { seed: number; keepTrace: boolean }) => {
  parentPort?.postMessage(await simulate(seed, keepTrace));
});
