// Takes a runner out of service without losing work: it finishes what it has, is told so by its next heartbeat or
// poll, and gets no more. It stays connected, and goes on when it is resumed.
import { drain, findRunner, resume } from "../../../db/queries/runners.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import type { Ports } from "../ports.ts";

/** Draining again changes nothing. Throws not_found. */
export async function drainRunner(ports: Pick<Ports, "db" | "clock" | "bell">, id: RunnerId): Promise<void> {
  await requireRunner(ports, id);
  await drain(ports.db, id, ports.clock.now());
  // A parked poll that stayed would take the ring of a clip that it may not have.
  await ports.bell.dismiss(id);
}

export async function resumeRunner(ports: Pick<Ports, "db">, id: RunnerId): Promise<void> {
  await requireRunner(ports, id);
  await resume(ports.db, id);
}

async function requireRunner(ports: Pick<Ports, "db">, id: RunnerId): Promise<void> {
  if ((await findRunner(ports.db, id)) === undefined) throw new ApiError("not_found", "There is no such runner.");
}
