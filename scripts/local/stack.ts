// Edge and runner together on this machine, as `npm run demo`, `npm start`, the end-to-end tests and the
// benchmarks use them. One folder (home) holds all state, and one stack at a time may use it.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createRunner } from "./account.ts";
import { type Edge, freePort, startEdge } from "./edge.ts";
import { startRunner } from "./runner.ts";
import type { Service } from "./service.ts";

export interface StackOptions {
  readonly home: string;
  readonly modelsDir: string;
  /** 0 takes any free port. */
  readonly port: number;
}

export interface Stack {
  readonly edge: Edge;
  readonly runner: Service;
  stop(): Promise<void>;
}

/** Takes the home for this process; a lock left by a dead process is taken over. */
function lockHome(home: string): () => void {
  mkdirSync(home, { recursive: true });
  const file = join(home, "lock");
  try {
    writeFileSync(file, String(process.pid), { flag: "wx" });
  } catch {
    const owner = Number(readFileSync(file, "utf8"));
    if (isAlive(owner)) {
      throw new Error(
        `process ${owner} is already using ${home} (npm start, or another demo). ` +
          "Stop it, or set TURBOCLIP_HOME to another folder.",
      );
    }
    writeFileSync(file, String(process.pid));
  }
  return () => rmSync(file, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export async function startStack(options: StackOptions): Promise<Stack> {
  const unlock = lockHome(options.home);
  let edge: Edge | undefined;
  let runner: Service | undefined;
  const stop = async () => {
    await runner?.stop();
    await edge?.service.stop();
    unlock();
  };
  try {
    edge = await startEdge({ home: options.home, port: options.port || (await freePort()) });
    const identity = await createRunner(edge, "local");
    const { home, modelsDir } = options;
    runner = startRunner({ home, name: "runner", edgeOrigin: edge.origin, identity, modelsDir });
    return { edge, runner, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
