// `npm test` and `npm run test:fast`: the static checks, then every test runner, each with its counts; the
// last line is their sum, `N passed, N failed`. A runner that ends without counts is one failure.
//   node scripts/test.ts [--fast] [--only check|native|unit|edge|simulation|e2e]
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import * as z from "zod";

const ROOT = resolve(import.meta.dirname, "..");
const REPORTS = join(ROOT, "build", "reports");
const bin = (name: string) => join(ROOT, "node_modules", ".bin", name);

interface Counts {
  readonly passed: number;
  readonly failed: number;
}

function execute(command: string, args: readonly string[]): { status: number; output: string } {
  const result = spawnSync(command, args, { cwd: ROOT, encoding: "utf8", maxBuffer: 1 << 28 });
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}${result.error ? result.error.message : ""}`;
  return { status: result.status ?? 1, output };
}

/** A tool that only says yes or no counts as one test. */
function check(name: string, command: string, args: readonly string[]): Counts {
  const { status, output } = execute(command, args);
  if (status === 0) return { passed: 1, failed: 0 };
  process.stdout.write(`check failed: ${name}\n${output}\n`);
  return { passed: 0, failed: 1 };
}

function tracked(...patterns: readonly string[]): string[] {
  const { output } = execute("git", ["ls-files", "--cached", "--others", "--exclude-standard", "--", ...patterns]);
  return output.split("\n").filter((line) => line !== "");
}

function staticChecks(): Counts {
  const node = process.execPath;
  const cpp = tracked("*.h", "*.cpp", "*.cc", "*.cu", "*.cuh");
  return total([
    check("biome (format, lint)", bin("biome"), ["ci", "--colors=off", "."]),
    check("oxlint (promises, cycles, layers)", bin("oxlint"), ["--type-aware", "--deny-warnings"]),
    check("tsc (Node side)", bin("tsc"), ["--noEmit", "-p", "tsconfig.json"]),
    check("tsc (edge)", bin("tsc"), ["--noEmit", "-p", "edge/tsconfig.json"]),
    check("tsc (edge tests)", bin("tsc"), ["--noEmit", "-p", "test/edge/tsconfig.json"]),
    check("tsc (simulation)", bin("tsc"), ["--noEmit", "-p", "test/simulation/tsconfig.json"]),
    check("tsc (database benchmark)", bin("tsc"), ["--noEmit", "-p", "bench/database/tsconfig.json"]),
    check("knip (unused files, exports, dependencies)", bin("knip"), []),
    check("clang-format", bin("clang-format"), ["--dry-run", "--Werror", ...cpp]),
    check("generated files are current", node, ["scripts/generate.ts", "--check"]),
  ]);
}

const vitestReport = z.object({ numPassedTests: z.int(), numFailedTests: z.int(), numPendingTests: z.int() });

function vitest(name: string, args: readonly string[]): Counts {
  const report = join(REPORTS, `${name}.json`);
  rmSync(report, { force: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const result = spawnSync(
    process.execPath,
    [join(ROOT, "node_modules/vitest/vitest.mjs"), "run", ...args, ...reporters],
    {
      cwd: ROOT,
      stdio: ["ignore", "inherit", "inherit"],
    },
  );
  const counts = readCounts(report);
  // A failed hook or an unhandled rejection fails the run without failing a test.
  const unexplained = result.status !== 0 && counts.failed === 0 ? 1 : 0;
  return { passed: counts.passed, failed: counts.failed + unexplained };
}

function readCounts(report: string): Counts {
  try {
    const counts = vitestReport.parse(JSON.parse(readFileSync(report, "utf8")));
    return { passed: counts.numPassedTests, failed: counts.numFailedTests };
  } catch {
    return { passed: 0, failed: 1 };
  }
}

function nativeTests(): Counts {
  const { status, output } = execute(join(ROOT, "build/native/test/native_tests"), []);
  process.stdout.write(output);
  const counts = /^(\d+) passed, (\d+) failed$/m.exec(output);
  if (counts === null) return { passed: 0, failed: 1 };
  const failed = Number(counts[2]);
  return { passed: Number(counts[1]), failed: status !== 0 && failed === 0 ? 1 : failed };
}

function total(parts: readonly Counts[]): Counts {
  return parts.reduce((sum, part) => ({ passed: sum.passed + part.passed, failed: sum.failed + part.failed }), {
    passed: 0,
    failed: 0,
  });
}

/** In the order in which a failure is cheapest to learn of; `fast` leaves out what starts whole systems. */
const SUITES = [
  { name: "check", fast: true, run: staticChecks },
  { name: "native", fast: true, run: nativeTests },
  { name: "unit", fast: true, run: () => vitest("unit", ["--config", "vitest.unit.config.ts"]) },
  { name: "edge", fast: true, run: () => vitest("edge", ["--config", "vitest.edge.config.ts"]) },
  { name: "simulation", fast: false, run: () => vitest("simulation", ["--config", "vitest.simulation.config.ts"]) },
  { name: "e2e", fast: false, run: () => vitest("e2e", ["--config", "vitest.e2e.config.ts"]) },
] as const;

const { values } = parseArgs({ options: { fast: { type: "boolean" }, only: { type: "string" } } });
if (values.only !== undefined && !SUITES.some((suite) => suite.name === values.only)) {
  process.stderr.write(`no suite ${JSON.stringify(values.only)}; there are ${SUITES.map((s) => s.name).join(", ")}\n`);
  process.exit(2);
}
mkdirSync(REPORTS, { recursive: true });
const results: { name: string; counts: Counts; seconds: number }[] = [];
for (const suite of SUITES) {
  if (values.only !== undefined ? suite.name !== values.only : values.fast && !suite.fast) continue;
  process.stdout.write(`\n== ${suite.name}\n`);
  const began = performance.now();
  const counts = suite.run();
  results.push({ name: suite.name, counts, seconds: (performance.now() - began) / 1_000 });
}
process.stdout.write("\n");
for (const { name, counts, seconds } of results) {
  const line = `${name.padEnd(10)} ${String(counts.passed).padStart(5)} ok ${String(counts.failed).padStart(4)} not ok`;
  process.stdout.write(`${line}  ${seconds.toFixed(1)} s\n`);
}
const sum = total(results.map((result) => result.counts));
process.stdout.write(`${sum.passed} passed, ${sum.failed} failed\n`);
process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1;
