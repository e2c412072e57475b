// The machines that do the work.
import { sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { RunnerId } from "../../shared/ids.ts";
import { timeMs } from "./columns.ts";

export const runners = sqliteTable("runners", {
  id: text("id").$type<RunnerId>().primaryKey(),
  name: text("name").notNull(),
  tokenSha256: text("token_sha256").notNull(),
  createdAtMs: timeMs("created_at_ms").notNull(),
  lastSeenMs: timeMs("last_seen_ms"),
  models: text("models", { mode: "json" }).$type<readonly string[]>().notNull(),
  /** Of the engine that polled last. */
  loadedModel: text("loaded_model"),
  version: text("version"),
  /** Backend and version, like cpu/0.1.0. */
  engine: text("engine"),
  /** What each of its engines computes on. */
  devices: text("devices", { mode: "json" }).$type<readonly string[]>().notNull().default(["unknown"]),
  /** Since when the operator wants it to take no more clips. */
  drainedSinceMs: timeMs("drained_since_ms"),
});
