import { env } from "cloudflare:workers";
import { expect, it } from "vitest";

const beat = (step: number) => ({ stage: "denoise", step, steps: 4 }) as const;
let names = 0;
const freshFeed = () => env.FEED.getByName(`clip-${names++}`);

it("a feed answers at once whoever has not seen its last change", async () => {
  const feed = freshFeed();
  const first = await feed.watch(-1, 60_000);
  await feed.put(1, beat(1));
  expect(await feed.watch(first, 60_000)).not.toBe(first);
});

it("a feed wakes all who wait, by progress and by a change of state", async () => {
  const feed = freshFeed();
  const seen = await feed.watch(-1, 0);
  const waiting = [feed.watch(seen, 60_000), feed.watch(seen, 60_000)];
  await feed.put(1, beat(1));
  const [next = seen] = await Promise.all(waiting);
  expect(next).not.toBe(seen);
  const again = feed.watch(next, 60_000);
  await feed.nudge();
  expect(await again).not.toBe(next);
});

it("a feed answers without a change when the time is up", async () => {
  const feed = freshFeed();
  const seen = await feed.watch(-1, 0);
  expect(await feed.watch(seen, 5)).toBe(seen);
});

it("a feed keeps the furthest progress of the latest attempt only", async () => {
  const feed = freshFeed();
  await feed.put(2, beat(3));
  await feed.put(2, beat(1));
  await feed.put(1, beat(4));
  expect(await feed.get(2)).toEqual(beat(3));
  expect(await feed.get(1)).toBeNull();
});
