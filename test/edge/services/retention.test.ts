import { beforeEach, describe, expect, it } from "vitest";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { createClip } from "../../../edge/services/clips/create.ts";
import { removeOutputs } from "../../../edge/services/files/remove.ts";
import { forgetAnswers } from "../../../edge/services/idempotency.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import { releaseAttempt } from "../../../edge/services/leases/release.ts";
import { grantCredit } from "../../../edge/services/money/grant.ts";
import { DEFAULT_TIMES, type ObjectStore } from "../../../edge/services/ports.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { createClipSchema } from "../../../shared/contract/clips.ts";
import type { Claim } from "../../../shared/contract/runner.ts";
import { micros } from "../../../shared/pricing.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { expectInvariants } from "../support/invariants.ts";
import { completion, DEMO, freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

const { leaseMs, outputKeptMs, uploadUrlMs, idempotencyMs } = DEFAULT_TIMES;
const STRAY_MS = 2 * uploadUrlMs;
const CRASH = { code: "engine_crashed", message: "Gone.", retryable: true };

async function objects(): Promise<string[]> {
  return (await env.BUCKET.list()).objects.map(({ key }) => key).toSorted();
}

const filesOf = ({ clip_id, attempt }: Claim) =>
  ["clip.mp4", "poster.jpg"].map((f) => `clips/${clip_id}/${attempt}/${f}`);

async function removals(): Promise<number> {
  return (await env.DB.prepare("select count(*) as n from output_removals").first<{ n: number }>())?.n ?? -1;
}

describe("a finished clip's output", () => {
  it("is readable until it expires and gone after it, object and all, with the row marked", async () => {
    const world = new World();
    const account = await world.account();
    const claim = await world.finished(account);
    world.advance(outputKeptMs - 1);
    await sweep(world.ports);
    expect(await objects()).toEqual(filesOf(claim));
    expect((await world.get(account, claim.clip_id)).output).not.toBeNull();
    world.advance(1);
    await sweep(world.ports);
    expect(await objects()).toEqual([]);
    const clip = await world.get(account, claim.clip_id);
    expect(clip).toMatchObject({ state: "succeeded", output: null });
    const row = await env.DB.prepare("select output_removed_at_ms as at, outputs from clips").first();
    expect(row?.at).toBe(world.nowMs);
    expect(row?.outputs).toContain("sha256");
    expect(await removals()).toBe(0);
    await expectInvariants();
  });

  it("stays when another attempt of its clip is cleaned up", async () => {
    const world = new World();
    await world.order(await world.account());
    const lost = await world.start(await world.runner());
    await world.upload(lost.claim);
    await failAttempt(world.ports, lost.ref, CRASH);
    const { claim, ref } = await world.start(await world.runner());
    await world.upload(claim);
    await completeAttempt(world.ports, ref, await completion());
    world.advance(STRAY_MS);
    await sweep(world.ports);
    expect(await objects()).toEqual(filesOf(claim));
  });
});

describe("what an unsuccessful attempt has uploaded", () => {
  const ends = {
    "fails for good": async (world: World) => {
      const { claim, ref } = await world.start(await world.runner());
      await world.upload(claim);
      await failAttempt(world.ports, ref, { ...CRASH, retryable: false });
    },
    "is tried again": async (world: World) => {
      const { claim, ref } = await world.start(await world.runner());
      await world.upload(claim);
      await failAttempt(world.ports, ref, CRASH);
    },
    "is handed back": async (world: World) => {
      const { claim, ref } = await world.start(await world.runner());
      await world.upload(claim);
      await releaseAttempt(world.ports, ref);
    },
    "goes silent": async (world: World) => {
      const { claim } = await world.start(await world.runner());
      await world.upload(claim);
      world.advance(leaseMs);
      await sweep(world.ports);
    },
    "is never acknowledged": async (world: World) => {
      await world.upload(await world.claim(await world.runner()));
      world.advance(leaseMs);
      await sweep(world.ports);
    },
  };

  it.each(Object.entries(ends))("is removed when no URL can bring it back, if the attempt %s", async (_, end) => {
    const world = new World();
    await world.order(await world.account());
    await end(world);
    world.advance(STRAY_MS - 1);
    await sweep(world.ports);
    expect(await objects()).toHaveLength(2);
    world.advance(1);
    await sweep(world.ports);
    expect(await objects()).toEqual([]);
    expect(await removals()).toBe(0);
    await expectInvariants();
  });

  it("is removed if the clip is cancelled, under way or waiting again", async () => {
    const world = new World();
    const account = await world.account();
    const running = await world.order(account);
    await world.upload((await world.start(await world.runner())).claim);
    await cancelClip(world.ports, account, running.id);
    const waiting = await world.order(account);
    const { claim, ref } = await world.start(await world.runner());
    await world.upload(claim);
    await releaseAttempt(world.ports, ref);
    await cancelClip(world.ports, account, waiting.id);
    await cancelClip(world.ports, account, (await world.order(account)).id);
    expect(await removals()).toBe(2);
    world.advance(STRAY_MS);
    await sweep(world.ports);
    expect(await objects()).toEqual([]);
    await expectInvariants();
  });
});

describe("a sweep that dies", () => {
  it("before the bucket was asked leaves everything, and the next one goes on", async () => {
    const world = new World();
    await world.finished(await world.account());
    world.advance(outputKeptMs);
    const store: ObjectStore = {
      ...world.ports.store,
      remove: async () => {
        throw new Error("R2 is away");
      },
    };
    await expect(sweep({ ...world.ports, store })).rejects.toThrow("R2 is away");
    expect(await objects()).toHaveLength(2);
    expect(await removals()).toBe(1);
    await sweep(world.ports);
    expect(await objects()).toEqual([]);
    expect(await removals()).toBe(0);
  });

  it.each(["request", "answer"] as const)(
    "between bucket and rows, by a lost %s, is finished by the next",
    async (loss) => {
      const { db, lose } = flakyDatabase();
      const world = new World({ db });
      await world.finished(await world.account());
      world.advance(outputKeptMs);
      lose(loss);
      await expect(removeOutputs(world.ports)).rejects.toThrow("connection lost");
      expect(await objects()).toEqual([]);
      await removeOutputs(world.ports);
      expect(await removals()).toBe(0);
      const row = await env.DB.prepare("select output_removed_at_ms as at from clips").first();
      expect(row?.at).toBe(world.nowMs);
    },
  );

  it("in one part does not keep the others from their work", async () => {
    const world = new World();
    const account = await world.account();
    await world.finished(account);
    world.advance(outputKeptMs);
    const waiting = await world.order(account, { expires_after: 10 });
    world.advance(10_000);
    const store: ObjectStore = {
      ...world.ports.store,
      remove: async () => {
        throw new Error("R2 is away");
      },
    };
    await expect(sweep({ ...world.ports, store })).rejects.toThrow("R2 is away");
    expect(await world.get(account, waiting.id)).toMatchObject({ state: "expired" });
  });
});

describe("bounded batches", () => {
  it("of removals are taken one after the other until none is left", async () => {
    const world = new World();
    const { id } = await world.order(await world.account());
    const rows = Array.from({ length: 450 }, (_, i) => `('${id}', ${i + 1}, ${i})`);
    await env.DB.prepare(`insert into output_removals values ${rows.join(", ")}`).run();
    expect(await removeOutputs(world.ports)).toBe(world.nowMs);
    expect(await removals()).toBe(250);
    expect(await removeOutputs(world.ports)).toBe(world.nowMs);
    expect(await removeOutputs(world.ports)).toBeNull();
    expect(await removals()).toBe(0);
  });

  it("of answers likewise", async () => {
    const world = new World();
    const account = await world.account(0);
    const insert = env.DB.prepare(
      `with recursive n(i) as (select 1 union all select i + 1 from n where i < 1100)
       insert into idempotency_keys select ?, 'create_clip', i, '', '', i from n`,
    );
    await insert.bind(account).run();
    const left = async () => (await env.DB.prepare("select count(*) as n from idempotency_keys").first())?.n;
    expect(await forgetAnswers(world.ports)).toBe(world.nowMs);
    expect(await left()).toBe(600);
    await forgetAnswers(world.ports);
    expect(await forgetAnswers(world.ports)).toBeNull();
    expect(await left()).toBe(0);
  });
});

describe("an answer to an Idempotency-Key", () => {
  it("is dropped once it is too old to be given again, and no earlier", async () => {
    const world = new World();
    const account = await world.account(0);
    const caller = world.caller(account);
    const request = createClipSchema.parse({ model: DEMO, prompt: "a red ball" });
    const grant = { accountId: account, amountMicros: micros(5_000), reason: "r", idempotencyKey: "g" };
    await grantCredit(world.ports, grant);
    world.advance(1_000);
    await createClip(world.ports, caller, request, "k");
    const left = async () => (await env.DB.prepare("select operation from idempotency_keys").all()).results;
    world.advance(idempotencyMs - 1_000 - 1);
    expect(await forgetAnswers(world.ports)).toBe(world.nowMs + 60_000);
    expect(await left()).toHaveLength(2);
    world.advance(1);
    await forgetAnswers(world.ports);
    expect(await left()).toEqual([{ operation: "create_clip" }]);
    expect((await createClip(world.ports, caller, request, "k")).replayed).toBe(true);
    world.advance(1_000);
    expect(await forgetAnswers(world.ports)).toBeNull();
    expect(await left()).toEqual([]);
  });
});
