// Notes that a key is in use, at most once an hour: enough to find keys that nobody uses, and no write a request.
import { noteUse } from "../../../db/queries/keys.ts";
import type { Ports } from "../ports.ts";
import type { Bearer } from "./verify.ts";

const HOUR_MS = 3_600_000;

export async function noteKeyUse(ports: Pick<Ports, "db" | "clock">, { key }: Pick<Bearer, "key">): Promise<void> {
  const now = ports.clock.now();
  if (key.lastUsedAtMs !== null && key.lastUsedAtMs > now - HOUR_MS) return;
  await noteUse(ports.db, key.id, now, now - HOUR_MS);
}
