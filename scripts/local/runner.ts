// A runner on this machine: the real control process with its engine process, on the CPU.
import { join, resolve } from "node:path";
import type { RunnerIdentity } from "./account.ts";
import { Service } from "./service.ts";

const ROOT = resolve(import.meta.dirname, "../..");

export interface RunnerOptions {
  readonly home: string;
  readonly name: string;
  readonly edgeOrigin: string;
  readonly identity: RunnerIdentity;
  readonly modelsDir: string;
  readonly env?: Readonly<Record<string, string>>;
}

export function startRunner(options: RunnerOptions): Service {
  return Service.start({
    name: options.name,
    command: process.execPath,
    args: [join(ROOT, "runner", "cli.ts"), "start"],
    cwd: ROOT,
    env: {
      ...process.env,
      TURBOCLIP_EDGE_URL: options.edgeOrigin,
      TURBOCLIP_RUNNER_ID: options.identity.runnerId,
      TURBOCLIP_RUNNER_TOKEN: options.identity.token,
      TURBOCLIP_MODELS_DIR: options.modelsDir,
      TURBOCLIP_GPUS: "cpu",
      ...options.env,
    },
    logFile: join(options.home, `${options.name}.log`),
  });
}
