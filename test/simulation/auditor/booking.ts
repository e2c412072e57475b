// How the auditor names what is booked.

/** One transaction of the ledger in words, as the auditor compares them. */
export function booking(kind: string, accountId: string, clipId: string | null, amountMicros: number): string {
  return `${kind} of ${amountMicros} for ${clipId ?? "no clip"} of ${accountId}`;
}
