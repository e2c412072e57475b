import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEMO_MODELS_DIR } from "../../models/demo/shipped.ts";
import { freePort } from "../../scripts/local/edge.ts";
import { processesOf } from "./support.ts";

const ROOT = resolve(import.meta.dirname, "../..");
let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "turboclip-demo-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

function startDemo(...args: readonly string[]) {
  const demo = spawn(process.execPath, [join(ROOT, "scripts/demo.ts"), ...args], {
    cwd: home,
    env: { ...process.env, TURBOCLIP_HOME: home, TURBOCLIP_MODELS_DIR: DEMO_MODELS_DIR },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [demo.stdout, demo.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  return { demo, closed: once(demo, "close"), output: () => output };
}

test("the demo draws a clip, prints path, size, timings and cost, and leaves no process", async () => {
  const { demo, closed, output } = startDemo("a red ball bouncing on a green field");
  await closed;
  expect(output()).toMatch(/running: (denoise|decode), step \d of \d/);
  expect(output()).toContain("$0.000408, charged once");
  expect(output()).not.toContain("never taught");
  expect(demo.exitCode, output()).toBe(0);
  const clips = readdirSync(join(home, "clips"));
  expect(clips).toHaveLength(1);
  expect(output()).toContain(clips[0]);
  expect(statSync(join(home, "clips", clips[0] ?? "")).size).toBeGreaterThan(1_000);
  expect(processesOf(home)).toEqual([]);
});

test("a prompt outside the model's world is drawn all the same, and the demo says once what it can draw", async () => {
  const { demo, closed, output } = startDemo("a cat playing the piano on a green field");
  await closed;
  expect(output().split("was never taught")).toHaveLength(2);
  expect(output()).toContain('never taught "cat", "playing", "piano", and draws');
  expect(output()).toContain("balls that bounce");
  expect(output()).toMatch(/clip {5}256x192, 33 frames, .*turboclip-demo/);
  expect(demo.exitCode, output()).toBe(0);
});

test("a second demo in the same folder says who is using it instead of corrupting its state", async () => {
  const first = startDemo("waves");
  while (!first.output().includes("are up")) await once(first.demo.stdout, "data");
  const second = startDemo("waves");
  await second.closed;
  expect(second.demo.exitCode).toBe(1);
  expect(second.output()).toContain(`process ${first.demo.pid} is already using`);
  first.demo.kill("SIGINT");
  await first.closed;
  expect(processesOf(home)).toEqual([]);
});

test("SIGTERM to the npm command that keeps the stack running ends every process of it", async () => {
  const start = spawn(process.execPath, [join(ROOT, "scripts/run.mjs"), "start"], {
    env: {
      ...process.env,
      TURBOCLIP_HOME: home,
      TURBOCLIP_MODELS_DIR: DEMO_MODELS_DIR,
      PORT: String(await freePort()),
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = once(start, "close");
  let output = "";
  start.stdout.on("data", (chunk) => (output += String(chunk)));
  while (!output.includes("curl -sX POST")) await once(start.stdout, "data");
  start.kill("SIGTERM");
  await closed;
  expect(processesOf(home)).toEqual([]);
});
