// Pictures that customers bring, from the signed PUT to their removal.
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { PICTURE_TYPES, UPLOAD_STATES } from "../../shared/contract/uploads.ts";
import type { AccountId, UploadId } from "../../shared/ids.ts";
import { accounts } from "./accounts.ts";
import { timeMs } from "./columns.ts";

/** A row stays until its object has been removed, so that nothing in the bucket is without one. */
export const uploads = sqliteTable(
  "uploads",
  {
    id: text("id").$type<UploadId>().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    /** Deleted: absent to its owner, and kept until its PUT can bring nothing back. */
    state: text("state", { enum: [...UPLOAD_STATES, "deleted"] }).notNull(),
    contentType: text("content_type", { enum: PICTURE_TYPES }).notNull(),
    bytes: integer("bytes").notNull(),
    width: integer("width"),
    height: integer("height"),
    rejection: text("rejection"),
    createdAtMs: timeMs("created_at_ms").notNull(),
    /** When the object is removed, and the row after it. */
    dueAtMs: timeMs("due_at_ms").notNull(),
  },
  (t) => [index("uploads_account").on(t.accountId), index("uploads_due").on(t.dueAtMs)],
);
