// The audit log: who did what to an account's keys and money, and when.
import * as z from "zod";
import { idSchema } from "../ids.ts";

export const AUDIT_ACTIONS = [
  "key.created",
  "key.changed",
  "key.rotated",
  "key.revoked",
  "credit.granted",
  "clip.refunded",
  "account.changed",
  "prompt.refused",
  "clip.refused",
  "top_up.created",
  "payment.booked",
  "auto_top_up.changed",
  "webhook_endpoint.disabled",
] as const;

const AUDIT_PAGE = { default: 50, max: 200 } as const;

const auditEntrySchema = z
  .object({
    id: idSchema("audit"),
    object: z.literal("audit_entry"),
    account_id: idSchema("account"),
    actor: z.union([idSchema("key"), z.enum(["operator", "stripe", "service"])]).meta({
      description:
        "The API key that asked for it, the service's operator, Stripe by its webhook, or the service itself",
    }),
    action: z.enum(AUDIT_ACTIONS),
    subject: z.string().meta({
      description:
        "Id of what it was done to: a key, a clip, a transaction, a top-up, a webhook endpoint or the account",
    }),
    detail: z.record(z.string(), z.unknown()).meta({ description: "What was set, by the names of its request" }),
    request_id: z.string().nullable().meta({ description: "As in x-request-id; null for what no request asked for" }),
    at: z.iso.datetime(),
  })
  .meta({ id: "AuditEntry" });
export type AuditEntry = z.infer<typeof auditEntrySchema>;

export const listAuditSchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(AUDIT_PAGE.max).default(AUDIT_PAGE.default),
  after: idSchema("audit").optional().meta({ description: "`next` of the page before" }),
});
export type ListAudit = z.output<typeof listAuditSchema>;

export const auditPageSchema = z
  .object({
    data: z.array(auditEntrySchema),
    next: idSchema("audit").nullable().meta({ description: "`after` of the next page; null on the last" }),
  })
  .meta({ id: "AuditPage" });
export type AuditPage = z.infer<typeof auditPageSchema>;
