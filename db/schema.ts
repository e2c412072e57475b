// The one source of truth: accounts and money, keys, runners, clips and their events, in one SQLite (D1)
// database so that a clip's state and its money change in one transaction. Times are integer
// milliseconds since 1970, money integer micro-dollars.
export * from "./schema/accounts.ts";
export * from "./schema/alerts.ts";
export * from "./schema/chats.ts";
export * from "./schema/clips.ts";
export * from "./schema/idempotency.ts";
export * from "./schema/ledger.ts";
export * from "./schema/operator.ts";
export * from "./schema/payments.ts";
export * from "./schema/runners.ts";
export * from "./schema/triggers.ts";
export * from "./schema/uploads.ts";
export * from "./schema/webhooks.ts";
