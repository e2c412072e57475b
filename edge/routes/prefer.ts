// `Prefer: wait=N` (RFC 7240): the answer may take N seconds if the clip has then ended.
import * as z from "zod";

const MAX_WAIT_S = 60;

export const preferHeader = z
  .string()
  .max(200)
  .optional()
  .meta({
    description: `wait=N: answer when the clip has ended, or after N seconds (at most ${MAX_WAIT_S})`,
    example: "wait=30",
  });

/** Of an answer. */
export const preferenceHeader = z.object({
  "preference-applied": z.string().optional().meta({ description: "wait=N, where the wait was honoured" }),
});

/** Seconds; null where nothing is asked for. Preferences that are not known are ignored, as the RFC has it. */
export function wantedWait(prefer: string | undefined): number | null {
  const match = /(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|,|$)/i.exec(prefer ?? "");
  return match === null ? null : Math.min(Number(match[1]), MAX_WAIT_S);
}

export function preferenceApplied(waitS: number): { readonly "preference-applied": string } {
  return { "preference-applied": `wait=${waitS}` };
}
