// The engine process's entry: the host's backend for the device that it is told of, behind the runner's protocol.
import { openBackend } from "../../native/index.ts";
import { readEngineEnv } from "./device.ts";
import { serveEngine } from "./serve.ts";

const { on, threads } = readEngineEnv(process.env);
await serveEngine({ openBackend: () => openBackend(on), threads });
