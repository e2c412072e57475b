// `npm run bench -- NAME`: runs one benchmark, prints its table and keeps it in bench/results/NAME.md with the
// machine and the commit. A benchmark checks what it times before it times it.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { cpuKernels } from "./cpu-kernels.ts";
import { demoModel } from "./demo-model.ts";
import { demoWallTime } from "./demo-wall-time.ts";
import { discordAcknowledgement } from "./discord-acknowledgement.ts";
import { leaseLatency } from "./lease-latency.ts";
import { memoryPlan } from "./memory-plan.ts";
import { queueLoad } from "./queue-load.ts";
import { slackAcknowledgement } from "./slack-acknowledgement.ts";
import { soak } from "./soak/soak.ts";
import { sseWatchers } from "./sse-watchers.ts";
import type { Benchmark } from "./table.ts";
import { renderTable } from "./table.ts";
import { webhookLatency } from "./webhook-latency.ts";

const RESULTS = resolve(import.meta.dirname, "results");
/** By its path, since it runs the edge's code and so is typed by a project of its own. */
const DATABASE_TIME = new URL("./database/database-time.ts", import.meta.url).href;
const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  "cpu-kernels": cpuKernels,
  "lease-latency": leaseLatency,
  "memory-plan": memoryPlan,
  "queue-load": queueLoad,
  "database-time": async () => await (await import(DATABASE_TIME)).databaseTime(),
  "discord-acknowledgement": discordAcknowledgement,
  "slack-acknowledgement": slackAcknowledgement,
  "demo-model": demoModel,
  "demo-wall-time": demoWallTime,
  soak,
  "sse-watchers": sseWatchers,
  "webhook-latency": webhookLatency,
};

/** What a reader must know to compare: processor, cores, memory, Node, commit. */
function provenance(): string {
  const git = (...args: string[]) => execFileSync("git", args, { encoding: "utf8" }).trim();
  const commit = git("rev-parse", "--short=12", "HEAD");
  const changed = git("status", "--porcelain", "--untracked-files=no") === "" ? "" : " with local changes";
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores, ${memory} GiB, Node ${process.versions.node}, commit ${commit}${changed}`;
}

const name = process.argv[2] ?? "";
const benchmark = BENCHMARKS[name];
if (benchmark === undefined) {
  process.stderr.write(`no benchmark ${JSON.stringify(name)}; there are ${Object.keys(BENCHMARKS).join(", ")}\n`);
  process.exit(2);
}
const { title, rows, notes } = await benchmark();
const text = `# ${title}\n\n${renderTable(rows)}\n${notes.map((note) => `\n${note}`).join("\n")}\n\n${provenance()}\n`;
mkdirSync(RESULTS, { recursive: true });
writeFileSync(join(RESULTS, `${name}.md`), text);
process.stdout.write(text);
