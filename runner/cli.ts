// turboclip-runner: `start` works for an edge until it is told to stop, `render` draws one clip without an
// edge, `bench` times its stages, `quantize` makes a checkpoint smaller, `doctor` looks a host over.
import { defineCommand, runMain } from "citty";
import { bench } from "./bench/command.ts";
import { quantize } from "./checkpoints/quantize.ts";
import { readSettings } from "./control/settings.ts";
import { startRunner } from "./control/start.ts";
import { examine } from "./doctor.ts";
import { fail } from "./fail.ts";
import { render } from "./render/command.ts";
import { stopSignals } from "./signals.ts";
import { readVersion } from "./version.ts";

const start = defineCommand({
  meta: { name: "start", description: "Take clips from the edge and render them, until SIGTERM or SIGINT" },
  args: {
    gpus: { type: "string", description: "A device for each engine (TURBOCLIP_GPUS)", valueHint: "0,1" },
  },
  async run({ args: { gpus } }) {
    try {
      const env = gpus === undefined ? process.env : { ...process.env, TURBOCLIP_GPUS: gpus };
      const { first: drain, second: release } = stopSignals();
      await startRunner(readSettings(env), { drain, release });
    } catch (error) {
      fail(error);
    }
  },
});

const doctor = defineCommand({
  meta: { name: "doctor", description: "Say what this host has and lacks" },
  async run() {
    const findings = await examine(process.env);
    for (const { what, ok, says } of findings) {
      process.stdout.write(`${ok ? "ok     " : "not ok "} ${what}: ${says.replaceAll("\n", "\n          ")}\n`);
    }
    if (findings.some((finding) => !finding.ok)) process.exitCode = 1;
  },
});

await runMain(
  defineCommand({
    meta: { name: "turboclip-runner", version: readVersion(), description: "Renders clips for a turboclip edge" },
    subCommands: { start, render, bench, quantize, doctor },
  }),
);
