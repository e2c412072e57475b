// W1 once nothing fails any more: every delivery comes to its end by itself, five days of failure disable an endpoint,
// and what is kept of it all goes after its time.
import type { World } from "../world/world.ts";
import { must } from "./violation.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Nine waits, each as long as Retry-After may make it. */
const SCHEDULE_MS = 10 * DAY_MS;
const FAILING_MS = 5 * DAY_MS;

export async function judgeWebhooksEnd(world: World, sendTests: () => Promise<void>): Promise<void> {
  const { auditor, schedule, times } = world;
  if (auditor.history.sizeOf("webhook_messages") === 0) return;
  await everyDeliveryEnds(world);
  await schedule.sleep(FAILING_MS);
  await sendTests();
  await everyDeliveryEnds(world);
  // Messages that waited when their time was over are looked for every six hours.
  await schedule.sleep(times.messagesKeptMs + 7 * HOUR_MS);
  const left = [...auditor.history.all("webhook_messages")];
  must(left.length === 0, "R1", () => `messages are kept past their time: ${JSON.stringify(left)}`);
}

async function everyDeliveryEnds({ auditor, schedule }: World): Promise<void> {
  const waiting = () => [...auditor.history.all("webhook_deliveries")].filter(({ state }) => state === "pending");
  const deadlineMs = schedule.nowMs + SCHEDULE_MS;
  while (waiting().length > 0 && schedule.nowMs < deadlineMs) await schedule.sleep(HOUR_MS);
  const left = waiting();
  must(left.length === 0, "W1", () => `neither delivered nor exhausted: ${JSON.stringify(left)}`);
}
