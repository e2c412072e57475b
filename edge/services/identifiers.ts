// Fresh identifiers, and the ids that one transition needs.
import type { SQL } from "drizzle-orm";
import type { Transition } from "../../db/queries/transitions.ts";
import { type Id, type IdKind, makeId, ulid } from "../../shared/ids.ts";
import type { Ports } from "./ports.ts";

type Source = Pick<Ports, "clock" | "random">;
const ULID_RANDOM_BYTES = 10;

export function newId<K extends IdKind>(ports: Source, kind: K): Id<K> {
  return newIdAt(ports, kind, ports.clock.now());
}

/** An id that carries this time, so that sorting by id is sorting by the row's own time, to the millisecond. */
export function newIdAt<K extends IdKind>(ports: Pick<Ports, "random">, kind: K, atMs: number): Id<K> {
  return makeId(kind, atMs, ports.random.bytes(ULID_RANDOM_BYTES));
}

/** `clip` is the condition that names the clip after the transition's first statement. */
export function newTransition(ports: Source, clip: SQL): Transition {
  const atMs = ports.clock.now();
  return {
    clip,
    batchId: ulid(atMs, ports.random.bytes(ULID_RANDOM_BYTES)),
    eventId: newIdAt(ports, "event", atMs),
    endEventId: newIdAt(ports, "event", atMs),
    transactionId: newIdAt(ports, "transaction", atMs),
    atMs,
  };
}
