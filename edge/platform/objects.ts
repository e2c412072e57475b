// The Durable Objects, as services call them. They hold no truth: what fails here is logged and made good
// within seconds by the next poll or heartbeat.
import type { Dispatcher } from "../durable/dispatcher.ts";
import type { Feed } from "../durable/feed.ts";
import type { Outbox } from "../durable/outbox.ts";
import type { Bell, Outboxes, ProgressFeed } from "../services/ports.ts";
import { describeError, log } from "./log.ts";

/** One Dispatcher for all runners: it only parks polls, and so many fit into one object. */
export function theDispatcher(namespace: DurableObjectNamespace<Dispatcher>): DurableObjectStub<Dispatcher> {
  return namespace.getByName("main");
}

async function tolerate<T>(what: string, call: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await call();
  } catch (error) {
    log("warn", `${what} failed`, { error: describeError(error) });
    return otherwise;
  }
}

export function remoteBell(namespace: DurableObjectNamespace<Dispatcher>): Bell {
  return {
    ring: (model, expiresAtMs) =>
      tolerate("ring", async () => await theDispatcher(namespace).ring(model, expiresAtMs), undefined),
    dismiss: (runnerId) => tolerate("dismiss", async () => await theDispatcher(namespace).dismiss(runnerId), undefined),
    wakeBy: (timeMs) => tolerate("wakeBy", async () => await theDispatcher(namespace).wakeBy(timeMs), undefined),
  };
}

export function remoteFeed(namespace: DurableObjectNamespace<Feed>): ProgressFeed {
  return {
    put: (clipId, attempt, progress) =>
      tolerate("feed", async () => await namespace.getByName(clipId).put(attempt, progress), undefined),
    get: (clipId, attempt) => tolerate("feed", async () => await namespace.getByName(clipId).get(attempt), null),
    nudge: (clipId) => tolerate("feed", async () => await namespace.getByName(clipId).nudge(), undefined),
    watch: async (clipId, seen, waitMs) => {
      try {
        return await namespace.getByName(clipId).watch(seen, waitMs);
      } catch (error) {
        log("warn", "feed failed", { error: describeError(error) });
        await new Promise((resolve) => setTimeout(resolve, Math.min(waitMs, 1_000)));
        return seen;
      }
    },
  };
}

/** One Outbox a lane, so that a slow receiver delays no other. */
export function remoteOutboxes(namespace: DurableObjectNamespace<Outbox>): Outboxes {
  return {
    wake: (lane) => tolerate("outbox", async () => await namespace.getByName(lane).wake(lane), undefined),
  };
}
