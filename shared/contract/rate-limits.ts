// How many requests a key, a browser token within its key's, and the senders of a trigger may send: token buckets of
// `quota`, refilled evenly over `windowS` seconds.

export const RATE_POLICIES = ["read", "write", "token_read", "token_write", "trigger"] as const;
export type RatePolicy = (typeof RATE_POLICIES)[number];

export interface RateLimit {
  readonly quota: number;
  readonly windowS: number;
}
export type RateLimits = Readonly<Record<RatePolicy, RateLimit>>;

/** GET reads, all else writes; what is posted to a trigger counts by itself. */
export const DEFAULT_RATE_LIMITS: RateLimits = {
  read: { quota: 6_000, windowS: 60 },
  write: { quota: 600, windowS: 60 },
  token_read: { quota: 600, windowS: 60 },
  token_write: { quota: 60, windowS: 60 },
  trigger: { quota: 60, windowS: 60 },
};
