// A receiver of webhooks: verify first, over the bytes as they came; answer soon; do each event once.
import { Webhook, WebhookVerificationError } from "standardwebhooks";

export interface ClipEvent {
  readonly type: string;
  readonly timestamp: string;
  readonly data: { readonly id: string; readonly path: string; readonly state: string };
}

/** `handle` is called once for each webhook-id; `seen` is whatever store of yours survives a restart. */
export async function receiveWebhook(
  request: Request,
  secret: string,
  seen: Set<string>,
  handle: (event: ClipEvent) => Promise<void>,
): Promise<Response> {
  const body = await request.text();
  let event: ClipEvent;
  try {
    event = new Webhook(secret).verify(body, Object.fromEntries(request.headers)) as ClipEvent;
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    return new Response("not signed by turboclip", { status: 400 });
  }
  const id = request.headers.get("webhook-id") ?? "";
  if (!seen.has(id)) {
    await handle(event); // if it throws, we answer 500 and the event comes again
    seen.add(id);
  }
  return new Response(null, { status: 204 });
}
