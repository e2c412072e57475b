// What the CPU engine's kernels reach of what the processor can do, and the seconds of each stage of the demo's
// clip: build/native/bench/cpu_kernels checks, times and prints them.
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import * as z from "zod";
import { DEMO_FILES } from "../models/demo/shipped.ts";
import type { Result, Row } from "./table.ts";

const PROGRAM = resolve(import.meta.dirname, "../build/native/bench/cpu_kernels");
/** Of the register-only loop; asked of matrix products. */
const AIM_SHARE = 0.5;

const reportSchema = z.object({
  kernels: z.array(
    z.object({
      name: z.string(),
      set: z.string(),
      threads: z.int(),
      gflops: z.number(),
      peak: z.number(),
      error: z.number(),
    }),
  ),
  models: z.array(z.object({ threads: z.int(), text_encode: z.number(), step: z.number(), decode: z.number() })),
});

const plural = (threads: number) => (threads === 1 ? "1 thread" : `${threads} threads`);

function measure(): z.infer<typeof reportSchema> {
  const { transformer, textEncoder, vae } = DEMO_FILES;
  const { status, stdout, stderr } = spawnSync(PROGRAM, [transformer, textEncoder, vae], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${PROGRAM} failed:\n${stderr}`);
  return reportSchema.parse(JSON.parse(stdout));
}

export async function cpuKernels(): Promise<Result> {
  const { kernels, models } = measure();
  const kernelRows = kernels.map(
    ({ name, set, threads, gflops, peak }): Row => ({
      what: `${name}; ${set}, ${plural(threads)}`,
      measured: `${gflops.toFixed(1)} GFLOP/s, ${Math.round((100 * gflops) / peak)}% of ${peak.toFixed(1)}`,
      aim: name.startsWith("gemm") ? `${100 * AIM_SHARE}%` : "",
    }),
  );
  const modelRows = models.flatMap(({ threads, text_encode, step, decode }): Row[] => [
    { what: `umT5, 24 tokens; ${plural(threads)}`, measured: `${(1_000 * text_encode).toFixed(2)} ms`, aim: "" },
    { what: `one step of the transformer; ${plural(threads)}`, measured: `${step.toFixed(3)} s`, aim: "" },
    { what: `VAE, the whole clip; ${plural(threads)}`, measured: `${decode.toFixed(3)} s`, aim: "" },
  ]);
  const worst = Math.max(...kernels.map(({ error }) => error));
  return {
    title: "The CPU engine's kernels and models",
    rows: [...kernelRows, ...modelRows],
    notes: [
      "The share is of a loop of multiply-adds on registers alone, of the same instructions on the same threads, " +
        "whose best time beside any of the kernels counts. Work is that of the definition: zeros that pad a " +
        "product count as nothing. Times are medians of processor time on one thread, and the best wall time on two." +
        " Two threads mean something only on an otherwise idle machine.",
      `Each kernel's output was compared with float64 arithmetic before it was timed; the worst was ${worst.toExponential(0)} off.`,
      "The models are the demo set (INT8) at 256 x 192 and 33 frames.",
    ],
  };
}
