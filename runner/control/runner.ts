// The control loop from start to drain: no clip is asked for any more, those that run are finished; what does
// not end in time, or a second signal, hands them back.
import { ReleaseRequested } from "./attempt.ts";
import { type LaneTools, runLane } from "./lane.ts";
import type { Admission, PollTimes } from "./poller.ts";

export interface RunnerTimes extends PollTimes {
  /** How long a drain waits for the clips that run. */
  readonly drainMs: number;
}

export const DEFAULT_RUNNER_TIMES: RunnerTimes = {
  pollWaitS: 25,
  pollRetryMs: 500,
  maxPollRetryMs: 10_000,
  drainMs: 120_000,
};

export interface RunnerTools extends Omit<LaneTools, "engine" | "admission"> {
  /** One lane each, all under the one runner id. */
  readonly engines: readonly LaneTools["engine"][];
  readonly runnerTimes: RunnerTimes;
}

export interface StopSignals {
  /** Take no more clips. */
  readonly drain: AbortSignal;
  /** Hand back the clips that run, too. */
  readonly release: AbortSignal;
}

/** Resolves when all engines are drained. Throws NotAdmittedError if the very first poll is refused. */
export async function runRunner(tools: RunnerTools, stop: StopSignals): Promise<void> {
  const drained = new AbortController();
  const failed = new AbortController();
  const drain = AbortSignal.any([stop.drain, failed.signal]);
  const release = releaseAfterDrain(tools, { drain, release: stop.release }, drained.signal);
  const admission: Admission = { granted: false };
  const lanes = tools.engines.map((engine, index) => {
    const log = tools.engines.length === 1 ? tools.log : tools.log.child({ engine: index });
    return runLane({ ...tools, engine, admission, log }, drain, release);
  });
  try {
    await Promise.all(lanes);
  } finally {
    failed.abort(); // one engine's end is everyone's
    await Promise.allSettled(lanes);
    drained.abort(); // a timer that still waited would keep the process alive
  }
}

/** Aborts when told to, or when draining has taken too long; watches no longer than until it is done. */
function releaseAfterDrain(
  { clock, runnerTimes }: RunnerTools,
  { drain, release }: StopSignals,
  drained: AbortSignal,
): AbortSignal {
  const controller = new AbortController();
  const give = () => controller.abort(new ReleaseRequested("the runner is stopping"));
  const watch = async () => {
    await clock.sleep(runnerTimes.drainMs, AbortSignal.any([release, drained]));
    give();
  };
  onAbort(release, give);
  onAbort(drain, () => void watch());
  return controller.signal;
}

function onAbort(signal: AbortSignal, act: () => void): void {
  if (signal.aborted) act();
  else signal.addEventListener("abort", act, { once: true });
}
