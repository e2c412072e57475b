// Every npm script comes through here: `node scripts/run.mjs <task> [arguments]`. A task names what it needs;
// set-up brings it; then the task runs in the foreground and its exit status is ours.
import { join } from "node:path";
import { ensureDependencies, ensureNative, ensureNode, HOME, ROOT, run } from "./setup.mjs";

const node = (script) => (args) => run(process.execPath, [join(ROOT, script), ...args]);

/** task -> what must be there first, and what to run. */
const TASKS = {
  demo: { needs: [ensureNative], main: node("scripts/demo.ts") },
  start: { needs: [ensureNative], main: node("scripts/start.ts") },
  runner: { needs: [ensureNative], main: runner },
  build: { needs: [ensureNative], main: () => 0 },
  golden: { needs: [ensureNative], main: (args) => run(join(ROOT, "build/native/tools/golden"), args, here()) },
  test: { needs: [ensureNative], main: node("scripts/test.ts") },
  simulate: { needs: [], main: node("test/simulation/cli.ts") },
  check: { needs: [], main: () => run(process.execPath, [join(ROOT, "scripts/test.ts"), "--only", "check"]) },
  format: { needs: [], main: node("scripts/format.ts") },
  bench: { needs: [ensureNative], main: node("bench/run.ts") },
  generate: { needs: [], main: node("scripts/generate.ts") },
};

/** Paths that a person types are relative to where they stand, not to the project. */
function here() {
  return { cwd: process.env.INIT_CWD ?? process.cwd() };
}

/** `render` where no models folder is set draws with the demo set. */
function runner(args) {
  const useDemo = args[0] === "render" && process.env.TURBOCLIP_MODELS_DIR === undefined;
  const env = useDemo ? { ...process.env, TURBOCLIP_MODELS_DIR: join(ROOT, "models/demo/trained") } : process.env;
  return run(process.execPath, [join(ROOT, "runner/cli.ts"), ...args], { ...here(), env });
}

const [name, ...args] = process.argv.slice(2);
const task = TASKS[name];
if (!task) {
  process.stderr.write(`turboclip: no task ${JSON.stringify(name)}; there are ${Object.keys(TASKS).join(", ")}\n`);
  process.exit(2);
}
process.env.TURBOCLIP_HOME = HOME;
await ensureNode();
ensureDependencies();
for (const need of task.needs) need();
process.exit(await task.main(args));
