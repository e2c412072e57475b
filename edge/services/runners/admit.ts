// Admits a runner's poll: its version must fit, and what it says about itself is noted. Every poll writes: one small
// row in 25 seconds.
import { updateSighting } from "../../../db/queries/runners.ts";
import type { PollRequest } from "../../../shared/contract/runner.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import type { Ports } from "../ports.ts";

/** Minor versions that runner and edge may be apart, either way, so that one can be updated before the other. */
const MAX_SKEW = 1;

/** Throws version_unsupported. Attempts that such a runner still has are not touched: it may finish them. */
export async function admitRunner(
  ports: Pick<Ports, "db" | "clock" | "version">,
  id: RunnerId,
  poll: PollRequest,
): Promise<void> {
  checkVersion(poll.version, ports.version);
  await updateSighting(ports.db, id, {
    lastSeenMs: ports.clock.now(),
    models: poll.models,
    loadedModel: poll.loaded_model,
    version: poll.version,
    engine: poll.engine ?? null,
    devices: poll.devices ?? ["unknown"],
  });
}

function checkVersion(runner: string, edge: string): void {
  const ours = parse(edge);
  const theirs = parse(runner);
  if (ours === null) throw new RangeError(`not a version: ${edge}`);
  if (theirs !== null && theirs.major === ours.major && Math.abs(theirs.minor - ours.minor) <= MAX_SKEW) return;
  const [oldest, newest] = [Math.max(0, ours.minor - MAX_SKEW), ours.minor + MAX_SKEW];
  const ahead =
    theirs !== null && (theirs.major > ours.major || (theirs.major === ours.major && theirs.minor > newest));
  throw new ApiError(
    "version_unsupported",
    `This edge is ${edge} and works with runners from ${ours.major}.${oldest} to ${ours.major}.${newest}; ` +
      `this runner is ${runner}. Update the ${ahead ? "edge" : "runner"}.`,
    "/version",
  );
}

function parse(version: string): { readonly major: number; readonly minor: number } | null {
  const match = /^(\d+)\.(\d+)\.\d+(?:[-+].*)?$/.exec(version);
  return match === null ? null : { major: Number(match[1]), minor: Number(match[2]) };
}
