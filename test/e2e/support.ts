// One whole system for a test file: a home of its own under the temporary folder, the edge, runners that the
// tests start and kill, accounts, and the public client. They draw with the demo model.
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TurboclipClient } from "../../client/index.ts";
import { DEMO_MODELS_DIR } from "../../models/demo/shipped.ts";
import { createAccount, createRunner } from "../../scripts/local/account.ts";
import { type Edge, freePort, startEdge } from "../../scripts/local/edge.ts";
import { findEngine, type Process, processes } from "../../scripts/local/processes.ts";
import { startRunner } from "../../scripts/local/runner.ts";
import type { Service } from "../../scripts/local/service.ts";
import type { Clip } from "../../shared/contract/clips.ts";

export const CREDIT_MICROS = 1_000_000;

export interface System {
  readonly home: string;
  readonly edge: Edge;
  /** Restarts the edge on the same port and state, as after a crash. */
  restartEdge(): Promise<void>;
  startRunner(name: string, options?: { env?: Record<string, string> }): Promise<Service>;
  customer(): Promise<TurboclipClient>;
  close(): Promise<void>;
}

export async function startSystem(vars: Readonly<Record<string, string>> = {}): Promise<System> {
  const home = await mkdtemp(join(tmpdir(), "turboclip-e2e-"));
  const port = await freePort();
  let edge = await startEdge({ home, port, vars });
  const runners: Service[] = [];
  return {
    home,
    get edge() {
      return edge;
    },
    async restartEdge() {
      edge = await startEdge({ home, port, vars });
    },
    async startRunner(name, options = {}) {
      const identity = await createRunner(edge, name);
      const env = options.env ?? {};
      const runner = startRunner({ home, name, edgeOrigin: edge.origin, identity, modelsDir: DEMO_MODELS_DIR, env });
      runners.push(runner);
      return runner;
    },
    async customer() {
      const { apiKey } = await createAccount(edge, "customer", CREDIT_MICROS);
      return new TurboclipClient({ origin: edge.origin, apiKey });
    },
    async close() {
      await Promise.all(runners.map((runner) => runner.kill()));
      await edge.service.kill();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** Waits until the clip shows at least this step of denoising (or a later stage), as its customer sees it. */
export async function waitForStep(client: TurboclipClient, id: Clip["id"], step: number): Promise<Clip> {
  const reached = (clip: Clip) =>
    clip.progress !== null &&
    (clip.progress.stage === "decode" || (clip.progress.stage === "denoise" && clip.progress.step >= step));
  for (;;) {
    const clip = await client.getClip(id);
    if (reached(clip)) return clip;
    if (clip.finished_at !== null) throw new Error(`the clip ${clip.state} before it showed step ${step}`);
  }
}

/** Every process that was started for this home, however it was started: the environment tells. */
export function processesOf(home: string): Process[] {
  return processes().filter((p) => {
    try {
      return readFileSync(`/proc/${p.pid}/environ`, "utf8").split("\0").includes(`TURBOCLIP_HOME=${home}`);
    } catch {
      return false; // ended meanwhile
    }
  });
}

/** The engine process of a runner, found from outside. */
export function enginePid(runner: Service): number {
  const engine = findEngine(runner.group);
  if (engine === undefined) throw new Error("the runner has no engine process");
  return engine.pid;
}
