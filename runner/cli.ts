// turboclip-runner: `start` works for an edge until it is told to stop, `doctor` looks a host over.
import { defineCommand, runMain } from "citty";
import { NotAdmittedError } from "./control/runner.ts";
import { readSettings, SettingsError } from "./control/settings.ts";
import { readVersion, StartError, startRunner } from "./control/start.ts";
import { examine } from "./doctor.ts";
import { EngineUnusableError } from "./engine/host.ts";

/** The first signal drains, the second hands the running clip back. */
function stopSignals(): { drain: AbortSignal; release: AbortSignal } {
  const drain = new AbortController();
  const release = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (drain.signal.aborted) release.abort();
      else drain.abort();
    });
  }
  return { drain: drain.signal, release: release.signal };
}

/** Errors that a person mends are told in words; others with their stack. */
function fail(error: unknown): void {
  const known = [SettingsError, StartError, NotAdmittedError, EngineUnusableError].some(
    (kind) => error instanceof kind,
  );
  const text = error instanceof Error ? (known ? error.message : (error.stack ?? error.message)) : String(error);
  process.stderr.write(`turboclip-runner: ${text}\n`);
  process.exitCode = 1;
}

const start = defineCommand({
  meta: { name: "start", description: "Take clips from the edge and render them, until SIGTERM or SIGINT" },
  async run() {
    try {
      await startRunner(readSettings(process.env), stopSignals());
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
    subCommands: { start, doctor },
  }),
);
