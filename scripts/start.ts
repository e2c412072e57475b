// `npm start`: edge and runner on this machine until Ctrl-C; prints URL, key and a curl line.
import { join, resolve } from "node:path";
import { DEMO_MODELS_DIR } from "../models/demo/shipped.ts";
import { createAccount } from "./local/account.ts";
import { startStack } from "./local/stack.ts";

const home = process.env.TURBOCLIP_HOME ?? resolve(import.meta.dirname, "../.turboclip");
const modelsDir = process.env.TURBOCLIP_MODELS_DIR ?? DEMO_MODELS_DIR;
const PORT = 8787;
const CREDIT_MICROS = 10_000_000;

const stack = await startStack({ home, modelsDir, port: Number(process.env.PORT ?? PORT) });
const stopped = new Promise<void>((done) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => done());
});
const account = await createAccount(stack.edge, "npm start", CREDIT_MICROS);
process.stdout.write(`
turboclip is running; Ctrl-C stops it. Logs: ${join(home, "edge.log")} and runner.log beside it.

  URL  ${stack.edge.origin}
  key  ${account.apiKey}   (an account with $10 of credit)

  curl -sX POST ${stack.edge.origin}/v1/clips \\
    -H 'authorization: Bearer ${account.apiKey}' -H 'content-type: application/json' \\
    -d '{"model":"turboclip-demo","prompt":"a red ball bouncing on a green field"}'

Then GET ${stack.edge.origin}/v1/clips/<id> with the same key until it has succeeded; output.mp4.url is the clip.
`);
await stopped;
await stack.stop();
