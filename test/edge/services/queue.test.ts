import { beforeEach, describe, expect, it } from "vitest";
import { openDatabase } from "../../../db/database.ts";
import { insertQueued, leaseNext } from "../../../db/queries/queue.ts";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { claimClip } from "../../../edge/services/leases/claim.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import { admitRunner } from "../../../edge/services/runners/admit.ts";
import type { AccountId, ClipId, RunnerId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import { env } from "../support/env.ts";
import { expectInvariants } from "../support/invariants.ts";
import { completion, DEMO, freshDeployment, freshNonce, World } from "../support/world.ts";

beforeEach(freshDeployment);

const { loadedModelMs } = DEFAULT_TIMES;
const BIG = "turbowan2.1-t2v-1.3b-480p";

/** Orders and claims by name, so that an order of service reads like one. */
class Line {
  readonly world = new World();
  readonly #names = new Map<string, string>();
  readonly #accounts = new Map<string, AccountId>();
  #runner: RunnerId | undefined;

  async account(name: string): Promise<AccountId> {
    const id = this.#accounts.get(name) ?? (await this.world.account(100_000_000));
    this.#accounts.set(name, id);
    return id;
  }

  async order(name: string, request: object = {}): Promise<ClipId> {
    this.world.advance(1);
    const { id } = await this.world.order(await this.account(name), request);
    this.#names.set(id, name);
    return id;
  }

  async orders(name: string, count: number, request: object = {}): Promise<void> {
    for (let i = 0; i < count; i++) await this.order(name, request);
  }

  /** Whose clip the next poll gets; null for none. */
  async take(loaded: string | null = null, models = [DEMO, BIG]): Promise<string | null> {
    this.#runner ??= await this.world.runner();
    this.world.advance(1);
    const poll = { nonce: freshNonce(), models, loaded_model: loaded };
    const claim = await claimClip(this.world.ports, this.#runner, poll);
    return claim === null ? null : (this.#names.get(claim.clip_id) ?? "unknown");
  }

  async takes(count: number): Promise<string> {
    let taken = "";
    for (let i = 0; i < count; i++) taken += (await this.take()) ?? "-";
    return taken;
  }
}

describe("within one account and priority", () => {
  it("clips are taken in the order of their orders, one that came back first", async () => {
    const { world } = new Line();
    const account = await world.account();
    const ids: string[] = [];
    for (let i = 0; i < 6; i++) {
      world.advance(1);
      ids.push((await world.order(account, { frames: [5, 33][i % 2] })).id);
    }
    const { claim, ref } = await world.start(await world.runner());
    expect(claim.clip_id).toBe(ids[0]);
    await world.claim(await world.runner());
    await failAttempt(world.ports, ref, { code: "engine_crashed", message: "Gone.", retryable: true });
    ids.push((await world.order(account)).id);
    const taken: string[] = [];
    for (let i = 0; i < 6; i++) taken.push((await world.claim(await world.runner())).clip_id);
    expect(taken).toEqual([ids[0], ...ids.slice(2)]);
    await expectInvariants();
  });
});

describe("between accounts", () => {
  it("one that has queued many does not keep one that orders a single clip waiting", async () => {
    const line = new Line();
    await line.orders("a", 20);
    expect(await line.takes(3)).toBe("aaa");
    await line.order("b");
    await line.order("c");
    expect(await line.takes(4)).toBe("abca");
  });

  it("those that always have something queued take turns", async () => {
    const line = new Line();
    for (const name of ["a", "b", "c"]) await line.orders(name, 6);
    expect(await line.takes(18)).toBe("abcabcabcabcabcabc");
  });

  it("shares are by cost: clips of half the price are taken twice as often", async () => {
    const line = new Line();
    await line.orders("l", 8, { frames: 33 });
    await line.orders("s", 16, { frames: 17 });
    const taken = await line.takes(12);
    expect(taken.replaceAll("l", "")).toHaveLength(8);
  });

  it("what one had when nobody else waited is not held against it", async () => {
    const line = new Line();
    await line.orders("a", 10);
    await line.takes(10);
    await line.orders("b", 3);
    await line.orders("a", 3);
    expect(await line.takes(6)).toBe("bababa");
  });

  it("nor is what it cancelled", async () => {
    const line = new Line();
    const account = await line.account("a");
    for (let i = 0; i < 10; i++) await cancelClip(line.world.ports, account, await line.order("a"));
    await line.orders("b", 3);
    await line.orders("a", 3);
    expect(await line.takes(6)).toBe("bababa");
  });

  it("one that has waited for nothing has no claim to be served first for it", async () => {
    const line = new Line();
    await line.orders("a", 4);
    await line.takes(2);
    await line.orders("b", 4);
    expect(await line.takes(6)).toBe("ababbb");
  });
});

describe("low priority", () => {
  it("gives way to a normal clip that is ordered later, by whomever", async () => {
    const line = new Line();
    await line.orders("l", 3, { priority: "low" });
    await line.order("n");
    await line.order("m");
    expect(await line.takes(5)).toBe("nmlll");
  });

  it("is served about one time in eleven however many normal clips are queued", async () => {
    const line = new Line();
    await line.orders("n", 40);
    await line.orders("l", 5, { priority: "low" });
    const taken = await line.takes(33);
    expect(taken.replaceAll("n", "")).toHaveLength(3);
  });

  it("does not hold back a normal clip, however many are queued and however long", async () => {
    const line = new Line();
    await line.orders("l", 30, { priority: "low" });
    await line.takes(5);
    line.world.advance(10 * loadedModelMs);
    await line.order("n");
    expect(await line.takes(2)).toContain("n");
  });

  it("does not keep a normal clip of another model waiting because its own is loaded", async () => {
    const line = new Line();
    await line.orders("l", 3, { priority: "low" });
    line.world.advance(loadedModelMs / 2);
    await line.order("n", { model: BIG });
    expect(await line.take(DEMO)).toBe("l");
    expect(await line.take(DEMO)).toBe("n");
  });

  it("is taken at once when nothing else waits", async () => {
    const line = new Line();
    await line.order("l", { priority: "low" });
    expect(await line.take()).toBe("l");
  });
});

describe("any backlog", () => {
  /** Numerical Recipes' linear congruential generator: the same orders each time. */
  function* numbers(seed: number): Generator<number, never> {
    for (let state = seed; ; ) {
      state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
      yield state / 2 ** 32;
    }
  }

  it.each([1, 2, 3])("is shared as the fairness bound of the algorithm says: seed %d", async (seed) => {
    const line = new Line();
    const random = numbers(seed);
    const flows = ["a", "b", "c", "d", "low"];
    const perFlow = 24;
    const left = flows.flatMap((flow) => Array.from({ length: perFlow }, () => flow));
    while (left.length > 0) {
      const [flow = ""] = left.splice(Math.floor(random.next().value * left.length), 1);
      const frames = 5 + 4 * Math.floor(random.next().value * 8);
      await line.order(flow, { frames, priority: flow === "low" ? "low" : "normal" });
    }
    const price =
      (await env.DB.prepare("select max(price_micros) as price from clips").first<{ price: number }>())?.price ?? 0;
    await line.takes(60);
    // Golestani 1994: between two backlogged flows, service by weight differs by at most one clip of each by weight.
    const { results } = await env.DB.prepare(
      `select account_id, priority, sum(iif(state = 'leased', price_micros, 0)) as served, sum(state = 'queued') as waiting
       from clips group by 1, 2`,
    ).all<{ priority: string; served: number; waiting: number }>();
    expect(results).toHaveLength(flows.length);
    for (const one of results) {
      expect(one.waiting).toBeGreaterThan(0);
      for (const other of results) {
        const factor = (flow: typeof one) => (flow.priority === "low" ? 10 : 1);
        const difference = Math.abs(one.served * factor(one) - other.served * factor(other));
        expect(difference).toBeLessThanOrEqual(price * (factor(one) + factor(other)));
      }
    }
    await expectInvariants();
  });
});

describe("between models", () => {
  it("the loaded one is preferred until another's clip has waited a minute longer", async () => {
    const line = new Line();
    await line.order("b", { model: BIG });
    await line.orders("d", 9);
    for (let waited = 0; waited <= loadedModelMs; waited += 10_000) {
      expect(await line.take(DEMO)).toBe("d");
      line.world.advance(10_000);
    }
    expect(await line.take(DEMO)).toBe("b");
    expect(await line.take(BIG)).toBe("d");
  });

  it("no model waits for ever behind an account that fills the loaded one", async () => {
    const line = new Line();
    await line.orders("d", 100);
    await line.orders("b", 2, { model: BIG });
    const taken: (string | null)[] = [];
    let loaded = DEMO;
    for (let i = 0; i < 40; i++) {
      line.world.advance(5_000);
      const name = await line.take(loaded);
      loaded = name === "b" ? BIG : DEMO;
      taken.push(name);
    }
    expect(taken.indexOf("b")).toBeLessThanOrEqual(loadedModelMs / 5_000 + 1);
    expect(taken.filter((name) => name === "b")).toHaveLength(2);
  });

  it("without a loaded one the longest waiting goes first", async () => {
    const line = new Line();
    await line.order("b", { model: BIG });
    await line.order("d");
    expect(await line.takes(2)).toBe("bd");
  });

  it("a runner gets only what it can do", async () => {
    const line = new Line();
    await line.order("b", { model: BIG });
    expect(await line.take(null, [DEMO])).toBeNull();
    expect(await line.take(null, ["unknown", BIG])).toBe("b");
  });
});

describe("a waiting clip's place", () => {
  it("counts the clips of its model that are to be taken before it", async () => {
    const line = new Line();
    const { world } = line;
    await line.orders("a", 3);
    const last = await line.order("a");
    const other = await line.order("b");
    await line.order("c", { model: BIG });
    const get = async (name: string, id: ClipId) => await world.get(await line.account(name), id);
    expect((await get("a", last)).queue).toEqual({ position: 5, expected_start_at: null });
    expect((await get("b", other)).queue).toEqual({ position: 2, expected_start_at: null });
    await line.take(DEMO, [DEMO]);
    expect((await get("b", other)).queue?.position).toBe(1);
    await line.take(DEMO, [DEMO]);
    expect((await get("b", other)).queue).toBeNull();
  });

  it("has an expected start once there are runners and a past to tell by", async () => {
    const line = new Line();
    const { world } = line;
    const account = await line.account("a");
    await line.order("a");
    const runner = await world.runner();
    const { claim, ref } = await world.start(runner);
    world.advance(8_000);
    await world.upload(claim);
    await completeAttempt(world.ports, ref, await completion());
    await line.orders("a", 3);
    const id = await line.order("a");
    expect((await world.get(account, id)).queue).toEqual({ position: 4, expected_start_at: null });
    const base = { nonce: freshNonce(), models: [DEMO], loaded_model: null, version: "0.1.0", wait_s: 0 };
    for (const serving of [runner, await world.runner()]) {
      await admitRunner(world.ports, serving, { ...base, runner_id: serving });
    }
    const expected = new Date(world.nowMs + (4 * 8_000) / 2).toISOString();
    expect((await world.get(account, id)).queue).toEqual({ position: 4, expected_start_at: expected });
    world.advance(DEFAULT_TIMES.leaseMs);
    expect((await world.get(account, id)).queue?.expected_start_at).toBeNull();
  });
});

describe("the queue's statements", () => {
  async function planOf(statement: unknown): Promise<string> {
    const { sql, params } = (statement as { toSQL(): { sql: string; params: unknown[] } }).toSQL();
    const { results } = await env.DB.prepare(`explain query plan ${sql}`)
      .bind(...params)
      .all<{ detail: string }>();
    return results.map(({ detail }) => detail).join("\n");
  }

  it("find the next clip by the index of turns, and look at no clip that has ended", async () => {
    const db = openDatabase(env.DB);
    const wanted = { models: [DEMO, BIG], loadedModel: DEMO, handicapMs: 1 };
    const lease = { runnerId: "rnr_x" as RunnerId, nonce: "n", token: "t", untilMs: 2, atMs: 1 };
    const plan = await planOf(leaseNext(db, wanted, lease));
    expect(plan).toContain("SEARCH waiting USING INDEX clips_turn (model=?)");
    expect(plan).toContain("SEARCH claimed USING COVERING INDEX clips_runner_nonce");
    expect(plan).not.toMatch(/SCAN (clips|head|waiting|flow)/);
  });

  it("find a new clip's turn by two lookups", async () => {
    const world = new World();
    const account = await world.account();
    const clip = { priceMicros: micros(1), accountId: account, model: DEMO, priority: "normal" };
    const plan = await planOf(insertQueued(world.ports.db, clip as Parameters<typeof insertQueued>[1]));
    expect(plan).toMatch(/SEARCH flows USING COVERING INDEX flows_clock/);
    expect(plan).toMatch(/SEARCH clips USING COVERING INDEX clips_flow/);
  });
});
