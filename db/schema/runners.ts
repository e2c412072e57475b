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
  loadedModel: text("loaded_model"),
  version: text("version"),
});
