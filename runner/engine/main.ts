// The engine process's entry: the host's best backend behind the runner's protocol.
import { openBackend } from "../../native/index.ts";
import { serveEngine } from "./serve.ts";

await serveEngine({
  openBackend: async () => openBackend(),
  threads: Number(process.env.TURBOCLIP_THREADS ?? 0),
});
