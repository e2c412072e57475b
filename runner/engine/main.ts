// The engine process's entry: the host's backend for the device that it is told of, behind the runner's protocol.
import { openBackend } from "../../native/index.ts";
import { planOnDevice } from "../../native/plan.ts";
import { readDeviceEnv } from "./device.ts";
import type { EngineBackend } from "./native.ts";
import { serveEngine } from "./serve.ts";

async function open(): Promise<EngineBackend> {
  const on = readDeviceEnv(process.env);
  const backend = await openBackend(on);
  const { device } = on;
  if (device === "cpu") return backend;
  return { ...backend, plan: (paths, load) => planOnDevice(paths, load, { ...on, device }) };
}

await serveEngine({
  openBackend: open,
  threads: Number(process.env.TURBOCLIP_THREADS ?? 0),
});
