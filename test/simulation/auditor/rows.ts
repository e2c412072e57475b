// Rows as the database holds them, by the auditor's own names: it shares no types and no code with what it audits.

export type State = "queued" | "leased" | "running" | "succeeded" | "failed" | "cancelled" | "expired";
export const HELD: readonly State[] = ["leased", "running"];
export const ENDED: readonly State[] = ["succeeded", "failed", "cancelled", "expired"];

export interface ClipRow {
  readonly id: string;
  readonly account_id: string;
  readonly key_id: string;
  readonly state: State;
  readonly model: string;
  readonly prompt: string;
  readonly webhook_url: string | null;
  readonly size: string;
  readonly frames: number;
  readonly priority: string;
  readonly price_micros: number;
  readonly attempt: number;
  readonly handed_back: number;
  readonly lease_token: string | null;
  readonly lease_until_ms: number | null;
  readonly runner_id: string | null;
  readonly poll_nonce: string | null;
  readonly progress: string | null;
  readonly progress_at_ms: number | null;
  readonly error_code: string | null;
  readonly outputs: string | null;
  readonly output_expires_at_ms: number | null;
  readonly output_removed_at_ms: number | null;
  readonly created_at_ms: number;
  readonly expires_at_ms: number;
  readonly started_at_ms: number | null;
  readonly finished_at_ms: number | null;
}

export interface EventRow {
  readonly id: string;
  readonly at_ms: number;
  readonly clip_id: string;
  readonly attempt: number;
  readonly event: string;
}

export interface LedgerRow {
  readonly transaction_id: string;
  readonly book: string;
  readonly account_id: string;
  readonly clip_id: string | null;
  readonly kind: string;
  readonly amount_micros: number;
}

export interface BalanceRow {
  readonly account_id: string;
  readonly posted_micros: number;
  readonly pending_micros: number;
}

export interface AccountRow {
  readonly id: string;
  readonly daily_cap_micros: number | null;
  readonly max_in_flight: number;
}

export interface SpendRow {
  readonly spender_id: string;
  readonly utc_day: number;
  readonly spent_micros: number;
}

export interface InFlightRow {
  readonly account_id: string;
  readonly clips: number;
}

export interface KeyRow {
  readonly id: string;
  readonly daily_cap_micros: number | null;
  readonly account_id: string;
  readonly revoked_at_ms: number | null;
}

export interface SecretRow {
  readonly sha256: string;
  readonly key_id: string;
}

export interface AnswerRow {
  readonly account_id: string;
  readonly operation: string;
  readonly key: string;
  readonly answer: string;
  readonly created_at_ms: number;
}

export interface RemovalRow {
  readonly clip_id: string;
  readonly attempt: number;
  readonly due_at_ms: number;
}

export interface RunnerRow {
  readonly id: string;
  readonly drained_since_ms: number | null;
  readonly token_sha256: string;
}

export interface EndpointRow {
  readonly id: string;
  readonly account_id: string;
  readonly url: string;
  /** A JSON array of types; null for all. */
  readonly events: string | null;
  readonly disabled_reason: "requested" | "gone" | "failing" | null;
  readonly disabled_at_ms: number | null;
  readonly failing_since_ms: number | null;
}

export interface SecretRow {
  readonly id: string;
  /** An endpoint's id or an account's. */
  readonly owner: string;
  /** `<owner> <secret>`: this world's vault keeps it in the clear. */
  readonly sealed: string;
  readonly expires_at_ms: number | null;
}

export interface MessageRow {
  readonly id: string;
  readonly account_id: string;
  readonly clip_id: string | null;
  readonly type: string;
  readonly payload: string;
  readonly created_at_ms: number;
}

export interface DeliveryRow {
  readonly message_id: string;
  readonly lane: string;
  readonly account_id: string;
  readonly url: string;
  readonly state: "pending" | "delivered" | "exhausted";
  readonly attempts: number;
  readonly replayed_after: number;
  readonly next_attempt_at_ms: number;
}

export interface AttemptRow {
  readonly message_id: string;
  readonly lane: string;
  readonly attempt: number;
  readonly at_ms: number;
  readonly duration_ms: number;
  readonly status: number | null;
  readonly error: string | null;
}

export interface TopUpRow {
  readonly id: string;
  readonly account_id: string;
  readonly amount_micros: number;
  readonly state: "open" | "paid" | "failed" | "expired";
  readonly auto: 0 | 1;
  readonly created_at_ms: number;
}

export interface AutoTopUpRow {
  readonly account_id: string;
  readonly threshold_micros: number;
  readonly amount_micros: number;
  readonly monthly_cap_micros: number;
  readonly state: "armed" | "due" | "charging" | "stopped";
  readonly top_up_id: string | null;
  readonly not_before_ms: number;
  readonly last_error: string | null;
}

export interface StripeEventRow {
  readonly id: string;
}

export interface StripeCustomerRow {
  readonly account_id: string;
}

/** The tables that the auditor follows, and what their rows are. */
export interface Tables {
  accounts: AccountRow;
  daily_spend: SpendRow;
  in_flight: InFlightRow;
  clips: ClipRow;
  clip_events: EventRow;
  ledger_entries: LedgerRow;
  balances: BalanceRow;
  api_keys: KeyRow;
  api_key_secrets: SecretRow;
  idempotency_keys: AnswerRow;
  runners: RunnerRow;
  output_removals: RemovalRow;
  webhook_endpoints: EndpointRow;
  webhook_secrets: SecretRow;
  webhook_messages: MessageRow;
  webhook_deliveries: DeliveryRow;
  webhook_attempts: AttemptRow;
  top_ups: TopUpRow;
  auto_top_ups: AutoTopUpRow;
  stripe_events: StripeEventRow;
  stripe_customers: StripeCustomerRow;
}
