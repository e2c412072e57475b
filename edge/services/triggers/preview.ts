// What a delivery would order: nothing of it is kept, and nothing is charged.
import type { TriggerPreview } from "../../../shared/contract/triggers.ts";
import type { AccountId, TriggerId } from "../../../shared/ids.ts";
import { quoteClip } from "../clips/quote.ts";
import type { Ports } from "../ports.ts";
import { requireTrigger } from "./manage.ts";
import { compileRecipe, isWanted, makeOrder } from "./order.ts";
import type { JsonValue } from "./path.ts";

/** Throws not_found, or what the delivery would be refused by for what it says. */
export async function previewTrigger(
  ports: Pick<Ports, "db">,
  accountId: AccountId,
  id: TriggerId,
  body: JsonValue,
): Promise<TriggerPreview> {
  const recipe = compileRecipe(await requireTrigger(ports, accountId, id));
  if (!isWanted(recipe, body)) return { object: "trigger_preview", clip: null };
  const order = makeOrder(recipe, body);
  const { model, size, frames, priceMicros } = quoteClip(order);
  const { prompt, metadata = {} } = order;
  return {
    object: "trigger_preview",
    clip: { prompt, metadata, model: model.id, size, frames, price_micros: priceMicros },
  };
}
