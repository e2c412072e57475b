// What the requests about webhooks may be answered.
import type { Operation, Outcome, Requests } from "../world/operation.ts";
import { WEBHOOK_KINDS, type WebhookKind } from "../world/webhook-routes.ts";
import type { AnswersContext } from "./context.ts";
import { must } from "./violation.ts";

export function isAboutWebhooks(operation: Operation): operation is Operation<WebhookKind> {
  return (WEBHOOK_KINDS as readonly string[]).includes(operation.kind);
}

export function judgeWebhookAnswer(
  operation: Operation<WebhookKind>,
  outcome: Exclude<Outcome, { kind: "broken" }>,
  { history, accountOf }: AnswersContext,
  what: () => string,
): void {
  const { kind, request, startedAt, faults } = operation;
  const owner = accountOf(request.key);
  if (kind === "create_endpoint") {
    // Refused only where the name did not lead to a public server at the time.
    must(outcome.kind === "answer" || (outcome.code === "invalid_request" && faults > 0), "A", what);
    return;
  }
  if (kind === "rotate_secret" && (request as Requests["rotate_secret"]).endpointId === null) {
    must(outcome.kind === "answer", "A", what);
    return;
  }
  const own = (rows: readonly ({ readonly account_id: string } | null)[]) =>
    rows.map((row) => (row?.account_id === owner ? row : null));
  const forms =
    "eventId" in request
      ? own(history.seenSince("webhook_messages", request.eventId, startedAt))
      : own(history.seenSince("webhook_endpoints", (request as Requests["send_test"]).endpointId, startedAt));
  if (outcome.kind === "answer") {
    must(
      forms.some((row) => row !== null),
      "I4",
      what,
    );
  } else if (outcome.code === "invalid_request") {
    const disabled = forms.some((row) => row !== null && "disabled_at_ms" in row && row.disabled_at_ms !== null);
    must(kind === "send_test" && disabled, "A", what);
  } else {
    must(outcome.code === "not_found" && forms.includes(null), "I3", what);
  }
}
