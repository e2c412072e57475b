import { applyD1Migrations, reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { cancelClip } from "../../edge/services/clips/cancel.ts";
import { completeAttempt } from "../../edge/services/leases/complete.ts";
import { DEFAULT_TIMES } from "../../edge/services/ports.ts";
import { sweep } from "../../edge/services/sweep.ts";
import type { AccountId, ClipId, RunnerId } from "../../shared/ids.ts";
import { env } from "./support/env.ts";
import { expectInvariants } from "./support/invariants.ts";
import { CLIP_PRICE, completion, DEMO, World } from "./support/world.ts";

const NOW = Date.UTC(2026, 10, 23, 12);
const ACCOUNT = "acct_01m844dzg0000000000000000a" as AccountId;
const RUNNER = "rnr_01m844dzg0000000000000000a" as RunnerId;

const clip = (name: string) => `clip_01m844dzg0000000000000000${name}` as ClipId;

async function run(sql: string): Promise<void> {
  await env.DB.prepare(sql).run();
}

/** As the first deployment left it: one clip in each kind of state, with its events, ledger and balance. */
async function firstDeployment(): Promise<void> {
  await run(`insert into accounts values ('${ACCOUNT}', 'old', 0)`);
  await run(
    `insert into runners (id, name, token_sha256, created_at_ms, models) values ('${RUNNER}', 'old', '', 0, '[]')`,
  );
  const state = { q: ["queued", 1], r: ["running", 2], s: ["succeeded", 2], f: ["failed", 3] } as const;
  const posted = 10_000 - CLIP_PRICE;
  await run(`insert into balances values ('${ACCOUNT}', ${posted}, ${CLIP_PRICE * 2})`);
  await run(`insert into ledger_entries values ('t0', 'funding', '${ACCOUNT}', null, 'top_up', -10000, '', 0)`);
  await run(`insert into ledger_entries values ('t0', 'available', '${ACCOUNT}', null, 'top_up', 10000, '', 0)`);
  for (const [name, [is, attempt]] of Object.entries(state)) {
    const held = is === "queued" ? "null, null, null" : `'token-${name}', ${NOW + 9_000}, '${RUNNER}'`;
    const expires = is === "succeeded" ? String(NOW + 1_000) : "null";
    await run(`insert into clips (id, account_id, state, model, prompt, size, frames, steps, sampler, seed, price_micros,
        attempt, handed_back, lease_token, lease_until_ms, runner_id, output_expires_at_ms, created_at_ms)
      values ('${clip(name)}', '${ACCOUNT}', '${is}', '${DEMO}', 'p', '256x192', 33, 4, 'sde', 1, ${CLIP_PRICE},
        ${attempt}, 0, ${held}, ${expires}, ${NOW - 60_000})`);
    for (let i = 1; i <= attempt; i++) {
      await run(`insert into clip_events values ('e${name}${i}', '${clip(name)}', ${i}, 'leased', null, 'b', 0)`);
    }
    const moved = async (kind: string, from: string, to: string) => {
      const row = (book: string, amount: number) =>
        run(`insert into ledger_entries values ('${kind}-${name}', '${book}', '${ACCOUNT}', '${clip(name)}', '${kind}',
          ${amount}, null, 0)`);
      await row(from, -CLIP_PRICE);
      await row(to, CLIP_PRICE);
    };
    await moved("hold", "available", "held");
    if (is === "succeeded") await moved("capture", "held", "revenue");
    if (is === "failed") await moved("release", "held", "available");
    if (is === "succeeded" || is === "failed") {
      await run(`insert into clip_events values ('end${name}', '${clip(name)}', ${attempt}, '${is}', null, 'b', 0)`);
    }
  }
}

beforeEach(async () => {
  await reset();
  await applyD1Migrations(env.DB, env.TEST_MIGRATIONS.slice(0, 2));
  await firstDeployment();
  await applyD1Migrations(env.DB, env.TEST_MIGRATIONS);
});

describe("a database of the first deployment, migrated", () => {
  it("keeps every invariant, and what was ordered before counts against the limits of now", async () => {
    await expectInvariants();
    const { results } = await env.DB.prepare("select clips, allowed from in_flight").all();
    expect(results).toEqual([{ clips: 2, allowed: 1_000 }]);
    const spent = await env.DB.prepare("select spent_micros, cap_micros from daily_spend").all();
    expect(spent.results).toEqual([{ spent_micros: CLIP_PRICE * 3, cap_micros: null }]);
  });

  it("lets its clips in motion end as any other", async () => {
    const world = new World();
    const key = `clips/${clip("r")}/2`;
    await env.BUCKET.put(`${key}/clip.mp4`, "clip");
    await env.BUCKET.put(`${key}/poster.jpg`, "jpg");
    const ref = { runnerId: RUNNER, token: "token-r" };
    expect(await completeAttempt(world.ports, ref, await completion())).toEqual({ state: "succeeded" });
    await cancelClip(world.ports, ACCOUNT, clip("q"));
    await expectInvariants();
  });

  it("expires what waits for a day, and removes what attempts of old have left", async () => {
    const world = new World();
    for (const [name, attempt] of [
      ["s", 1],
      ["s", 2],
      ["f", 3],
      ["r", 1],
    ] as const) {
      await env.BUCKET.put(`clips/${clip(name)}/${attempt}/clip.mp4`, "clip");
    }
    const keys = async () => (await env.BUCKET.list()).objects.map((object) => object.key);
    await sweep(world.ports);
    expect(await keys()).toEqual([`clips/${clip("s")}/2/clip.mp4`]);
    world.advance(1_000);
    await sweep(world.ports);
    expect(await keys()).toEqual([]);
    expect(await world.get(ACCOUNT, clip("q"))).toMatchObject({ state: "queued" });
    world.advance(DEFAULT_TIMES.queuedMs);
    await sweep(world.ports);
    expect(await world.get(ACCOUNT, clip("q"))).toMatchObject({ state: "expired" });
    await expectInvariants();
  });
});
