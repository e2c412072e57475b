// Triggers made through the API, and deliveries to them as a sender posts them.
import {
  type IssuedTrigger,
  issuedTriggerSchema,
  type TriggerDelivery,
  triggerDeliveryPageSchema,
  triggeredSchema,
} from "../../../shared/contract/triggers.ts";
import { call, ORIGIN } from "./http.ts";
import { DEMO } from "./world.ts";

export const TEMPLATE = { name: "releases", prompt: "confetti over {{ $.name }}", clip: { model: DEMO } };

export async function newTrigger(token: string, wanted: object = {}): Promise<IssuedTrigger> {
  const answer = await call("POST", "/v1/triggers", { token, body: { ...TEMPLATE, ...wanted } });
  if (answer.status !== 201) throw new Error(`a trigger was refused: ${await answer.text()}`);
  return issuedTriggerSchema.strict().parse(await answer.json());
}

export async function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return await call("POST", url.replace(ORIGIN, ""), { body, headers });
}

/** A delivery that is taken: the clip's id. */
export async function postOk(url: string, body: unknown, headers: Record<string, string> = {}): Promise<string> {
  const answer = await post(url, body, headers);
  if (answer.status !== 202) throw new Error(`a delivery was answered ${answer.status}: ${await answer.text()}`);
  const { clip_id } = triggeredSchema.strict().parse(await answer.json());
  if (clip_id === null) throw new Error("a delivery made no clip");
  return clip_id;
}

/** Newest first. */
export async function deliveriesOf(token: string, id: string): Promise<readonly TriggerDelivery[]> {
  const answer = await call("GET", `/v1/triggers/${id}/deliveries?limit=100`, { token });
  return triggerDeliveryPageSchema.strict().parse(await answer.json()).data;
}
