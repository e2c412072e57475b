// Ends clips that nobody has started in time: terminal, free, and told by an event. Against a claim exactly one
// wins, because both start by testing that the clip is queued.
import { eq } from "drizzle-orm";
import { release } from "../../../db/queries/ledger.ts";
import { expire, findNextExpiry, findUnstarted } from "../../../db/queries/queue.ts";
import { commit, recordEvent } from "../../../db/queries/transitions.ts";
import { clips } from "../../../db/schema.ts";
import type { ClipId } from "../../../shared/ids.ts";
import { newTransition } from "../identifiers.ts";
import type { Ports } from "../ports.ts";
import { settleEach } from "../settle.ts";
import { wakeOutboxes } from "../webhooks/wake.ts";

const PER_SWEEP = 100;
const EXPIRED = { code: "expired", message: "No runner was free to start the clip in time." } as const;

type Source = Pick<Ports, "db" | "clock" | "random" | "feed" | "bell" | "outboxes">;

/** Returns when the next queued clip expires, or null. Safe to run at any time, twice, or late. */
export async function expireClips(ports: Source): Promise<number | null> {
  const unstarted = await findUnstarted(ports.db, ports.clock.now(), PER_SWEEP);
  await settleEach(unstarted, (id) => expireClip(ports, id));
  return await findNextExpiry(ports.db);
}

async function expireClip(ports: Source, id: ClipId): Promise<void> {
  const transition = newTransition(ports, eq(clips.id, id));
  const expired = await commit(
    ports.db,
    expire(ports.db, id, EXPIRED, transition.atMs),
    recordEvent(ports.db, transition, "expired", null),
    release(ports.db, transition),
  );
  if (!expired) return;
  await ports.feed.nudge(id);
  await wakeOutboxes(ports, transition);
}
