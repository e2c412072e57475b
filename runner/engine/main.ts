// The engine process's entry: the host's backend for the device that it is told of, behind the runner's protocol.
import { openBackend } from "../../native/index.ts";
import { readDeviceEnv } from "./device.ts";
import { serveEngine } from "./serve.ts";

await serveEngine({
  openBackend: async () => openBackend(readDeviceEnv(process.env)),
  threads: Number(process.env.TURBOCLIP_THREADS ?? 0),
});
