// How a command ends that did not do what it was asked. Messages are for the person at the terminal.

/** What was asked for cannot be: exit status 2. The message names the value and the remedy. */
export class UsageError extends Error {}

/** It was asked for rightly and did not work: exit status 1. */
export class CommandError extends Error {}

/** Stopped by Ctrl-C or SIGTERM: exit status 130, as shells have it. */
export class CommandCancelled extends Error {}

/** The parser takes what it does not know; a typing error in an option must not be another command. */
export function refuseUnknownOptions(command: string, args: object, known: readonly string[]): void {
  const unknown = Object.keys(args).find((name) => name !== "_" && !known.includes(name));
  if (unknown === undefined) return;
  throw new UsageError(
    `no option ${unknown.length === 1 ? "-" : "--"}${unknown}; see turboclip-runner ${command} --help`,
  );
}
