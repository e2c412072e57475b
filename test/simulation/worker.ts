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

async function answer({ seed, keepTrace }: { readonly seed: number; readonly keepTrace: boolean }): Promise<void> {
  parentPort?.postMessage(await simulate(seed, keepTrace));
}

parentPort?.on("message", (order) => void answer(order));
