// Ends a command that did not work: what a person can mend is told in words, anything else with its stack.
import { NotAdmittedError } from "./control/poller.ts";
import { SettingsError } from "./control/settings.ts";
import { StartError } from "./control/start.ts";
import { EngineUnusableError } from "./engine/host.ts";
import { CommandCancelled, CommandError, UsageError } from "./errors.ts";

const FAILED = 1;

/** Exit status by kind of error; 130 is the shells' for Ctrl-C. */
const KNOWN = [
  [UsageError, 2],
  [CommandCancelled, 130],
  [CommandError, FAILED],
  [SettingsError, FAILED],
  [StartError, FAILED],
  [NotAdmittedError, FAILED],
  [EngineUnusableError, FAILED],
] as const;

export function fail(error: unknown): void {
  const known = KNOWN.find(([kind]) => error instanceof kind);
  const text = error instanceof Error ? (known ? error.message : (error.stack ?? error.message)) : String(error);
  process.stderr.write(`turboclip-runner: ${text}\n`);
  process.exitCode = known?.[1] ?? FAILED;
}
