// One engine's work: ask the edge for a clip, sample it, and ask for the next while this one is encoded and
// uploaded. At most one clip is being delivered when the next one is asked for: where the network is slower
// than the engine, finished clips must not pile up, each under a lease.
import { type AttemptEnd, type AttemptTools, beginAttempt } from "./attempt.ts";
import { Backoff } from "./clock.ts";
import { Poller, type PollerTools } from "./poller.ts";

export type LaneTools = PollerTools & AttemptTools;

/** Resolves when drained. Throws NotAdmittedError if the very first poll is refused. */
export async function runLane(tools: LaneTools, drain: AbortSignal, release: AbortSignal): Promise<void> {
  const poller = new Poller(tools, drain);
  const { pollRetryMs, maxPollRetryMs } = tools.runnerTimes;
  const failures = new Backoff(pollRetryMs, maxPollRetryMs, tools.random);
  let delivering: Promise<AttemptEnd | undefined> = Promise.resolve(undefined);
  while (!drain.aborted) {
    const claim = await poller.next();
    if (claim === undefined) break;
    const { sampled, ended } = beginAttempt(tools, claim, release);
    let end = await Promise.race([sampled, ended]);
    if (end === undefined) {
      end = await delivering;
      delivering = ended;
    }
    // A host that has gone bad (a full disk, a dying card) must not use up the attempts of the whole queue.
    if (end === "failed") await tools.clock.sleep(failures.next(), drain);
    else if (end === "succeeded") failures.reset();
  }
  await delivering;
}
