// A runner hands its attempt back unharmed, as when it was told to stop: the clip waits in its old place.
import type { AttemptEndReply } from "../../../shared/contract/runner.ts";
import { type AttemptRef, endedAs, findAttempt, leaseLost } from "./attempt.ts";
import { type EndSource, endAttempt } from "./end-attempt.ts";

export async function releaseAttempt(ports: EndSource, ref: AttemptRef): Promise<AttemptEndReply> {
  const row = await findAttempt(ports, ref);
  if (endedAs(row, "failed")) return { state: "failed" };
  const state = await endAttempt(ports, row, {
    event: "handed_back",
    detail: ref.runnerId,
    error: { code: "no_capacity", message: "The clip was given up after being handed back by its runners too often." },
    retryable: true,
    unharmed: true,
    overdueAtMs: null,
  });
  if (state !== null) return { state };
  // A twin of this request may have been first.
  if (endedAs(await findAttempt(ports, ref), "failed")) return { state: "failed" };
  throw leaseLost();
}
