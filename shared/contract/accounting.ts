// What an account's owner reads of its books: usage and the ledger. All amounts are integer micro-dollars.
import * as z from "zod";
import { idSchema } from "../ids.ts";

export const LEDGER_KINDS = [
  "hold",
  "capture",
  "release",
  "top_up",
  "refund",
  "payment",
  "payment_refund",
  "dispute",
] as const;

const day = z.iso.date().meta({ description: "UTC", example: "2026-11-23" });
const counts = {
  clips: z.int().meta({ description: "Clips that succeeded" }),
  captured_micros: z.int(),
  refunded_micros: z.int(),
  net_micros: z.int().meta({ description: "Captured less refunded" }),
};

export const usageSchema = z
  .object({
    from: day,
    to: day,
    data: z.array(
      z.object({
        day,
        model: z.string(),
        key_id: z.string().nullable().meta({ description: "The API key that ordered the clips" }),
        ...counts,
      }),
    ),
    total: z.object(counts),
  })
  .meta({ id: "Usage" });
export type Usage = z.infer<typeof usageSchema>;

export const ledgerPageSchema = z
  .object({
    data: z.array(
      z.object({
        id: z.string(),
        kind: z.enum(LEDGER_KINDS),
        available_micros: z.int().meta({ description: "Change of what can be spent" }),
        held_micros: z.int().meta({ description: "Change of what is held for clips" }),
        clip_id: z.string().nullable(),
        key_id: z.string().nullable(),
        reason: z.string().nullable(),
        at: z.iso.datetime(),
      }),
    ),
    has_more: z.boolean(),
    next: idSchema("transaction").nullable().meta({ description: "`after` of the next page; null on the last" }),
  })
  .meta({ id: "LedgerPage" });
export type LedgerPage = z.infer<typeof ledgerPageSchema>;

export const LEDGER_PAGE = { default: 50, max: 200 } as const;
export const ledgerCursorSchema = idSchema("transaction");
