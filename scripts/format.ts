// `npm run format`: rewrites TypeScript, JSON and C++ in the project's style.
import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "..");
const bin = (name: string) => join(ROOT, "node_modules", ".bin", name);

function run(command: string, args: readonly string[]): void {
  const result = spawnSync(command, args, { cwd: ROOT, stdio: "inherit" });
  if (result.status !== 0) process.exitCode = 1;
}

const patterns = ["*.h", "*.cpp", "*.cc", "*.cu", "*.cuh"];
const list = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "--", ...patterns], {
  cwd: ROOT,
  encoding: "utf8",
});
const cpp = list.stdout.split("\n").filter((line) => line !== "");
run(bin("biome"), ["check", "--write", "."]);
if (cpp.length > 0) run(bin("clang-format"), ["-i", ...cpp]);
