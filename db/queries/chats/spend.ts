// What a channel and a user of a link order on a day: rows with CHECKs, as those of accounts and keys (decision 0042).
// The trigger on clip_events takes off what was free after all.
import { sql } from "drizzle-orm";
import type { Micros } from "../../../shared/pricing.ts";
import type { Database } from "../../database.ts";
import { chatSpend } from "../../schema.ts";
import type { Statement } from "../transitions.ts";
import type { ChatLinkRow } from "./links.ts";

/** Aborts the batch by `chat_channel_clips`, `chat_channel_cap`, `chat_user_clips` or `chat_user_cap`. */
export function countChatOrder(
  db: Database,
  link: ChatLinkRow,
  { channelId, userId }: { readonly channelId: string; readonly userId: string },
  utcDay: number,
  priceMicros: Micros,
): Statement[] {
  const count = (
    row: Pick<typeof chatSpend.$inferInsert, "spender" | "spenderId" | "maxClips" | "capMicros">,
  ): Statement =>
    db
      .insert(chatSpend)
      .values({ ...row, linkId: link.id, utcDay, clips: 1, spentMicros: priceMicros })
      .onConflictDoUpdate({
        target: [chatSpend.linkId, chatSpend.spender, chatSpend.spenderId, chatSpend.utcDay],
        set: {
          clips: sql`${chatSpend.clips} + 1`,
          spentMicros: sql`${chatSpend.spentMicros} + excluded.spent_micros`,
          maxClips: sql`excluded.max_clips`,
          capMicros: sql`excluded.cap_micros`,
        },
      });
  const { channelDailyClips, channelDailyCapMicros, userDailyClips, userDailyCapMicros } = link;
  return [
    count({ spender: "channel", spenderId: channelId, maxClips: channelDailyClips, capMicros: channelDailyCapMicros }),
    count({ spender: "user", spenderId: userId, maxClips: userDailyClips, capMicros: userDailyCapMicros }),
  ];
}
