// The servers and workspaces that gave a bot of ours a token of their own. Sealed, so that a copy of the database posts
// nothing.
import { dropPlace, findInstallation, putInstallation } from "../../../db/queries/chats/installations.ts";
import type { Ports } from "../ports.ts";
import { laneOf } from "./order.ts";
import type { Place } from "./place.ts";

export interface Installation {
  readonly token: string;
  /** The platform's id of who let the bot in. */
  readonly installedBy: string;
}

/** Binds a sealed token to its place. */
function contextOf({ platform, placeId }: Place): string {
  return `chat installation ${platform} ${placeId}`;
}

/** The last one stands. */
export async function install(
  ports: Pick<Ports, "db" | "clock" | "vault">,
  place: Place,
  { token, installedBy }: Installation,
): Promise<void> {
  const { platform, placeId } = place;
  const sealed = await ports.vault.seal(token, contextOf(place));
  await putInstallation(ports.db, { platform, placeId, token: sealed, installedBy, installedAtMs: ports.clock.now() });
}

/** Null also for one whose token no key of the deployment opens: installing again gives another. */
export async function openInstallation(
  ports: Pick<Ports, "db" | "vault" | "log">,
  place: Place,
): Promise<Installation | null> {
  const { platform, placeId } = place;
  const row = await findInstallation(ports.db, platform, placeId);
  if (row === undefined) return null;
  try {
    return { token: await ports.vault.open(row.token, contextOf(place)), installedBy: row.installedBy };
  } catch {
    ports.log("error", "a bot's token does not open; does ENCRYPTION_KEYS lack a key?", { platform, place: placeId });
    return null;
  }
}

/** What was installed, linked or ordered after `atMs` stays: a platform may tell of it late, and more than once. */
export async function leavePlace(ports: Pick<Ports, "db">, place: Place, atMs: number): Promise<void> {
  const { platform, placeId } = place;
  await dropPlace(ports.db, { platform, placeId, lane: laneOf(place), atMs, reason: "the app was removed" });
}
