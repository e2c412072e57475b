// Brings what a command needs, on a bare clone as on a used one: the pinned Node, dependencies, the native
// build. Plain JavaScript without dependencies, because it runs before any are there and on
// any Node >= 20. Every step is safe to repeat and quick when nothing changed.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { arch, cpus, platform } from "node:os";
import { delimiter, join, relative, resolve } from "node:path";

export const ROOT = resolve(import.meta.dirname, "..");
const TOOLCHAIN = join(ROOT, ".toolchain");
const TOOLCHAIN_BIN = join(TOOLCHAIN, "node_modules", ".bin");
const NATIVE_BUILD = join(ROOT, "build", "native");

/** Where local state lives: database, clips, logs. */
export const HOME = resolve(process.env.TURBOCLIP_HOME ?? join(ROOT, ".turboclip"));

/** Prints what is wrong and what to do about it, and ends the command. */
function fail(message) {
  process.stderr.write(`turboclip: ${message}\n`);
  process.exit(1);
}

function say(message) {
  process.stderr.write(`turboclip: ${message}\n`);
}

/** Runs a tool quietly; on failure shows all it printed. */
function runQuietly(what, command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: ROOT, encoding: "utf8", maxBuffer: 1 << 28, ...options });
  if (result.error) fail(`${what}: cannot run ${command}: ${result.error.message}`);
  if (result.status !== 0) fail(`${what} failed:\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

function hashFiles(paths) {
  const hash = createHash("sha256");
  for (const path of paths) hash.update(`${relative(ROOT, path)}\0`).update(readFileSync(path));
  return hash.digest("hex");
}

/** Runs `make` unless the stamp file says that it already ran for this key. */
function onceFor(stamp, key, make) {
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === key) return;
  rmSync(stamp, { force: true });
  make();
  writeFileSync(stamp, key);
}

function nodeIsNewEnough() {
  const { engines } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const floor = /^>=(\d+)\.(\d+)$/.exec(engines.node);
  const [major, minor] = process.versions.node.split(".").map(Number);
  return major > Number(floor[1]) || (major === Number(floor[1]) && minor >= Number(floor[2]));
}

/**
 * Restarts the script under the pinned Node when the machine's is too old. Returns only under a Node that is
 * new enough, with its folder first on PATH for everything that is started from here.
 */
export async function ensureNode() {
  if (nodeIsNewEnough()) return;
  if (platform() !== "linux" || arch() !== "x64") {
    fail(
      `Node ${process.versions.node} is too old and the pinned one exists for linux-x64 only. ` +
        "Install Node 24 (https://nodejs.org) and run the command again.",
    );
  }
  if (process.env.TURBOCLIP_NODE_RESTARTED) fail(`the pinned Node in ${TOOLCHAIN_BIN} is too old as well`);
  const key = hashFiles([join(TOOLCHAIN, "package-lock.json")]);
  onceFor(join(TOOLCHAIN, "node_modules", ".stamp"), key, () => {
    say(`Node ${process.versions.node} is too old; fetching the pinned one into .toolchain/ ...`);
    runQuietly("npm ci (.toolchain)", "npm", ["ci", "--prefix", TOOLCHAIN, "--no-audit", "--no-fund"]);
  });
  const env = {
    ...process.env,
    PATH: `${TOOLCHAIN_BIN}${delimiter}${process.env.PATH ?? ""}`,
    TURBOCLIP_NODE_RESTARTED: "1",
  };
  process.exit(await run(join(TOOLCHAIN_BIN, "node"), process.argv.slice(1), { env }));
}

export function ensureDependencies() {
  const stamp = join(ROOT, "node_modules", ".turboclip-stamp");
  const key = hashFiles([join(ROOT, "package-lock.json"), join(ROOT, "package.json")]);
  onceFor(stamp, key, () => {
    say("installing dependencies (npm ci) ...");
    runQuietly("npm ci", "npm", ["ci", "--no-audit", "--no-fund"]);
  });
}

function commandExists(command) {
  return spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0;
}

/** Configures and builds native/ into build/native; a second run only asks the build tool what changed. */
export function ensureNative() {
  if (!commandExists("cmake")) fail("cmake >= 3.25 is needed to build the engine; install it and try again.");
  const headers = ["node-api-headers", "node-addon-api"].map((name) => {
    const folder = join(ROOT, "node_modules", name);
    return name === "node-api-headers" ? join(folder, "include") : folder;
  });
  const lists = readdirSync(join(ROOT, "native"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith("CMakeLists.txt"))
    .map((path) => join(ROOT, "native", path));
  mkdirSync(NATIVE_BUILD, { recursive: true });
  onceFor(join(NATIVE_BUILD, ".configured"), hashFiles(lists.sort()), () => {
    const generator = commandExists("ninja") ? ["-G", "Ninja"] : [];
    runQuietly("cmake (configure)", "cmake", [
      ...["-S", join(ROOT, "native"), "-B", NATIVE_BUILD],
      ...generator,
      "-DCMAKE_BUILD_TYPE=Release",
      `-DTURBOCLIP_NODE_INCLUDES=${headers.join(";")}`,
    ]);
    say("building the engine (C++) ...");
  });
  runQuietly("cmake --build", "cmake", ["--build", NATIVE_BUILD, "--parallel", String(cpus().length)]);
}

/**
 * Runs a command in the foreground and returns its exit status. A signal to us alone is passed on, so that
 * nothing outlives us; Ctrl-C is not, since the terminal sends it to the whole group already.
 */
export async function run(command, args, options = {}) {
  const child = spawn(command, args, { cwd: ROOT, stdio: "inherit", ...options });
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  process.on("SIGINT", () => {});
  child.on("error", (error) => fail(`cannot run ${command}: ${error.message}`));
  const [status] = await once(child, "exit");
  return status ?? 1;
}
