import { describe, expect, it } from "vitest";
import { Waiters } from "../../../edge/durable/waiters.ts";

let nonces = 0;
function request(models: string[], loadedModel: string | null = null, nonce = `n${nonces++}`) {
  return { runnerId: "rnr_1", nonce, models, loadedModel };
}

const LONG_MS = 60_000;

describe("waiters", () => {
  it("wakes exactly one waiter for one clip, the longest waiting first", async () => {
    const waiters = new Waiters();
    const [first, second] = [waiters.enter(request(["a"])), waiters.enter(request(["a"]))];
    const parked = [waiters.park(first, LONG_MS), waiters.park(second, 5)];
    expect(waiters.ring("a")).toBe(true);
    expect(await Promise.all(parked)).toEqual(["rung", "timeout"]);
  });

  it("wakes nobody who cannot serve the model", () => {
    const waiters = new Waiters();
    waiters.enter(request(["a"]));
    expect(waiters.ring("b")).toBe(false);
  });

  it("prefers the waiter that has the model loaded", async () => {
    const waiters = new Waiters();
    waiters.enter(request(["a", "b"], "b"));
    const loaded = waiters.enter(request(["a", "b"], "a"));
    waiters.ring("a");
    expect(await waiters.park(loaded, LONG_MS)).toBe("rung");
  });

  it("wakes another waiter for each further clip", async () => {
    const waiters = new Waiters();
    const all = [1, 2, 3].map(() => waiters.enter(request(["a"])));
    expect([waiters.ring("a"), waiters.ring("a"), waiters.ring("a"), waiters.ring("a")]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(await Promise.all(all.map((waiter) => waiters.park(waiter, LONG_MS)))).toEqual(["rung", "rung", "rung"]);
  });

  it("sends all of a dismissed runner's polls away, and passes a ring that one of them had on to another's", async () => {
    const waiters = new Waiters();
    const [one, two] = [waiters.enter(request(["a"])), waiters.enter(request(["a"]))];
    const other = waiters.enter({ ...request(["a"]), runnerId: "rnr_2" });
    const parked = [waiters.park(one, LONG_MS), waiters.park(two, LONG_MS)];
    waiters.ring("a");
    waiters.dismiss("rnr_1");
    expect(await Promise.all(parked)).toEqual(["displaced", "displaced"]);
    for (const waiter of [one, two]) waiters.leave(waiter);
    expect(await waiters.park(other, LONG_MS)).toBe("rung");
  });

  it("remembers a ring that comes while the waiter is reading the database", async () => {
    const waiters = new Waiters();
    const waiter = waiters.enter(request(["a"]));
    waiters.answer(waiter); // it begins to read
    waiters.ring("a"); // the clip was queued after that read
    expect(await waiters.park(waiter, LONG_MS)).toBe("rung");
  });

  it("passes a ring on when its waiter leaves without having looked", async () => {
    const waiters = new Waiters();
    const leaving = waiters.enter(request(["a"]));
    const staying = waiters.enter(request(["a"]));
    waiters.ring("a");
    waiters.leave(leaving);
    expect(await waiters.park(staying, LONG_MS)).toBe("rung");
  });

  it("does not pass on a ring that was answered", async () => {
    const waiters = new Waiters();
    const leaving = waiters.enter(request(["a"]));
    const staying = waiters.enter(request(["a"]));
    waiters.ring("a");
    waiters.answer(leaving);
    waiters.leave(leaving);
    expect(await waiters.park(staying, 5)).toBe("timeout");
  });

  it("sends an older poll away when the same runner asks again with its nonce", async () => {
    const waiters = new Waiters();
    const older = waiters.enter(request(["a"], null, "same"));
    const parked = waiters.park(older, LONG_MS);
    const newer = waiters.enter(request(["a"], null, "same"));
    expect(await parked).toBe("displaced");
    waiters.leave(older);
    waiters.ring("a");
    expect(await waiters.park(newer, LONG_MS)).toBe("rung");
    expect(waiters.size).toBe(1);
  });

  it("does not wait at all when there is no time left", async () => {
    const waiters = new Waiters();
    expect(await waiters.park(waiters.enter(request(["a"])), 0)).toBe("timeout");
  });
});
