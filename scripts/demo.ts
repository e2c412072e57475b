// `npm run demo -- "a prompt"`: the whole product on one machine. Starts the edge and a runner, makes an
// account with credit and a key, orders a clip through the public API, downloads it by its signed URL.
import { mkdirSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { TurboclipClient } from "../client/index.ts";
import { scopeNotice } from "../models/demo/scope.ts";
import { DEMO_MODELS_DIR } from "../models/demo/shipped.ts";
import type { Clip } from "../shared/contract/clips.ts";
import { formatDollars, micros } from "../shared/pricing.ts";
import { createAccount } from "./local/account.ts";
import { startStack } from "./local/stack.ts";

const DEFAULT_PROMPT = "a red ball bouncing on a green field";
const CREDIT_MICROS = 1_000_000;
const CLIP_TIMEOUT_MS = 300_000;
/** Short enough to see every step of the small model. */
const LOOK_INTERVAL_MS = 50;

const home = process.env.TURBOCLIP_HOME ?? resolve(import.meta.dirname, "../.turboclip");
const modelsDir = process.env.TURBOCLIP_MODELS_DIR ?? DEMO_MODELS_DIR;
const prompt = process.argv.slice(2).join(" ") || DEFAULT_PROMPT;
const began = performance.now();

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1_000).toFixed(1);
}

/** On a terminal the line is rewritten in place until endProgress(); elsewhere each text is a line of its own. */
function showProgress(text: string): void {
  process.stdout.write(process.stdout.isTTY ? `\r\u001b[K${text}` : `${text}\n`);
}

function endProgress(): void {
  if (process.stdout.isTTY) process.stdout.write("\n");
}

function describe(clip: Clip): string {
  if (clip.progress === null) return `  ${clip.state}`;
  const { stage, step, steps } = clip.progress;
  return `  ${clip.state}: ${stage.replace("_", " ")}${steps > 1 ? `, step ${step} of ${steps}` : ""}`;
}

function report(clip: Clip, file: string, bytes: number, spent: number): void {
  const stages = Object.entries(clip.timings ?? {}).map(([stage, s]) => `${stage.replace("_", " ")} ${s.toFixed(2)} s`);
  const length = (clip.frames / clip.frames_per_second).toFixed(1);
  process.stdout.write(
    [
      "",
      `  file     ${relative(process.cwd(), file) || file}  (${(bytes / 1024).toFixed(0)} KiB)`,
      `  clip     ${clip.size}, ${clip.frames} frames, ${length} s; seed ${clip.seed}, ${clip.steps} steps, ${clip.model}`,
      `  engine   ${stages.join(", ")}`,
      `  total    ${seconds(began)} s, start-up included`,
      `  cost     ${formatDollars(micros(clip.charged_micros))}, charged once; ${formatDollars(micros(spent))} left`,
      "",
    ].join("\n"),
  );
}

async function main(): Promise<void> {
  process.stdout.write(`turboclip demo: "${prompt}"\n`);
  const notice = scopeNotice(prompt);
  if (notice !== undefined) process.stdout.write(`  note: ${notice}\n`);
  showProgress("  starting the edge (workerd, D1, R2) and a runner (CPU engine) ...");
  const stack = await startStack({ home, modelsDir, port: 0 });
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => interrupted.abort());
  try {
    const account = await createAccount(stack.edge, "demo", CREDIT_MICROS);
    const client = new TurboclipClient({ origin: stack.edge.origin, apiKey: account.apiKey });
    showProgress(`  edge and runner are up after ${seconds(began)} s`);
    endProgress();
    const created = await client.createClip({ model: "turboclip-demo", prompt });
    let shown = "";
    const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(CLIP_TIMEOUT_MS)]);
    const clip = await client.waitForClip(created.id, {
      signal,
      intervalMs: LOOK_INTERVAL_MS,
      onProgress: (current) => {
        if (!stack.runner.running) throw new Error(`the runner ended:\n${stack.runner.logTail()}`);
        const text = describe(current);
        if (text !== shown) showProgress(text);
        shown = text;
      },
    });
    endProgress();
    if (clip.state !== "succeeded" || clip.output === null) {
      throw new Error(`the clip ${clip.state}: ${clip.error?.message ?? "no reason given"}\n${stack.runner.logTail()}`);
    }
    const folder = join(home, "clips");
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `${clip.id}.mp4`);
    const bytes = await client.download(clip.output.mp4.url, file);
    const balance = await client.getBalance();
    report(clip, file, bytes, balance.available_micros);
  } finally {
    await stack.stop();
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`\nturboclip: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
