// Sets what an API key may spend in a day, within the cap of its account.
import { limitApiKey } from "../../../db/queries/accounts.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { KeyId } from "../../../shared/ids.ts";
import type { Micros } from "../../../shared/pricing.ts";
import type { Ports } from "../ports.ts";

/** null is no cap of its own. */
export async function setKeyCap(ports: Pick<Ports, "db">, id: KeyId, dailyCapMicros: Micros | null) {
  const key = await limitApiKey(ports.db, id, dailyCapMicros);
  if (key === undefined) throw new ApiError("not_found", "There is no such API key.");
  return key;
}
