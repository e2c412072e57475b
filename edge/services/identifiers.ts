// Fresh identifiers, and the ids that one transition needs.
import type { SQL } from "drizzle-orm";
import type { Transition } from "../../db/queries/transitions.ts";
import { type Id, type IdKind, makeId, ulid } from "../../shared/ids.ts";
import type { Ports } from "./ports.ts";

type Source = Pick<Ports, "clock" | "random">;
const ULID_RANDOM_BYTES = 10;

export function newId<K extends IdKind>(ports: Source, kind: K): Id<K> {
  return makeId(kind, ports.clock.now(), ports.random.bytes(ULID_RANDOM_BYTES));
}

/** `clip` is the condition that names the clip after the transition's first statement. */
export function newTransition(ports: Source, clip: SQL): Transition {
  const atMs = ports.clock.now();
  return {
    clip,
    batchId: ulid(atMs, ports.random.bytes(ULID_RANDOM_BYTES)),
    eventId: newId(ports, "event"),
    endEventId: newId(ports, "event"),
    transactionId: newId(ports, "transaction"),
    atMs,
  };
}
