import { beforeEach, describe, expect, it } from "vitest";
import { listClips } from "../../../edge/services/clips/list.ts";
import { type ListClips, listClipsSchema } from "../../../shared/contract/clips.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { env } from "../support/env.ts";
import { freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

function asking(query: Partial<Record<keyof ListClips, unknown>> = {}): ListClips {
  return listClipsSchema.parse(query);
}

/** Every id, page after page. */
async function all(world: World, account: AccountId, query: Parameters<typeof asking>[0] = {}): Promise<string[]> {
  const ids: string[] = [];
  for (let after: string | undefined; ; ) {
    const page = await listClips(world.ports, account, asking({ ...query, after }));
    ids.push(...page.data.map(({ id }) => id));
    if (page.next === null) return ids;
    after = page.next;
  }
}

/** Finished clips of the distant past, oldest first, written straight into the table. */
async function addPast(account: AccountId, count: number): Promise<void> {
  await env.DB.prepare(
    `with recursive past(n) as (select 1 union all select n + 1 from past where n < ${count})
     insert into clips (id, account_id, state, model, prompt, size, frames, steps, sampler, seed, price_micros,
       attempt, handed_back, created_at_ms)
     select printf('clip_00000000000000%012d', n), ?, 'succeeded', 'turboclip-demo', 'x', '256x192', 33, 4, 'sde', n, 1,
       1, 0, n from past`,
  )
    .bind(account)
    .run();
}

describe("a list of clips", () => {
  it("is newest first, its account's alone, and by pages of the size that was asked for", async () => {
    const world = new World();
    const account = await world.account();
    await world.order(await world.account());
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      world.advance(1);
      ids.unshift((await world.order(account)).id);
    }
    const first = await listClips(world.ports, account, asking({ limit: 2 }));
    expect(first.data.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect(first.next).toBe(ids[1]);
    expect(await all(world, account, { limit: 2 })).toEqual(ids);
    expect(await all(world, account, { limit: 5 })).toEqual(ids);
  });

  it("neither skips nor repeats a clip that was there all along while others are ordered", async () => {
    const world = new World();
    const account = await world.account();
    const there: string[] = [];
    for (let i = 0; i < 6; i++) {
      world.advance(1);
      there.unshift((await world.order(account)).id);
    }
    const seen: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await listClips(world.ports, account, asking({ limit: 2, after }));
      seen.push(...page.data.map(({ id }) => id));
      if (page.next === null) break;
      after = page.next;
      world.advance(1);
      await world.order(account);
    }
    expect(seen).toEqual(there);
  });

  it("asks for state as it is shown: a clip that waits for another attempt is running", async () => {
    const world = new World();
    const account = await world.account();
    const { id: running } = await world.order(account);
    await world.start(await world.runner());
    world.advance(1);
    const { id: waiting } = await world.order(account);
    await env.DB.prepare("update clips set state = 'queued', lease_token = null where id = ?").bind(running).run();
    expect(await all(world, account, { state: "running" })).toEqual([running]);
    expect(await all(world, account, { state: "queued" })).toEqual([waiting]);
    expect(await all(world, account, { state: "failed" })).toEqual([]);
  });

  it("asks for model, time and metadata, all of which must hold", async () => {
    const world = new World();
    const account = await world.account();
    const { id: first } = await world.order(account, { metadata: { order: "1", "shop.id": "a=b" } });
    world.advance(1_000);
    const from = new Date(world.nowMs).toISOString();
    const { id: second } = await world.order(account, { metadata: { order: "2", "shop.id": "a=b" } });
    expect(await all(world, account, { created_from: from })).toEqual([second]);
    expect(await all(world, account, { created_until: from })).toEqual([first]);
    expect(await all(world, account, { metadata: "shop.id=a=b" })).toEqual([second, first]);
    expect(await all(world, account, { metadata: ["shop.id=a=b", "order=1"] })).toEqual([first]);
    expect(await all(world, account, { metadata: ["order=1", "order=2"] })).toEqual([]);
    expect(await all(world, account, { model: "turboclip-demo" })).toHaveLength(2);
    expect(await all(world, account, { model: "turbowan2.1-t2v-1.3b-480p" })).toEqual([]);
  });

  it("looks through a bounded number of clips a page, and tells where to go on", async () => {
    const world = new World();
    const account = await world.account();
    await addPast(account, 4_500);
    const page = await listClips(world.ports, account, asking({ state: "failed" }));
    expect(page.data).toEqual([]);
    expect(page.next).toBe("clip_00000000000000000000002501");
    await env.DB.prepare("update clips set state = 'failed' where id = 'clip_00000000000000000000000001'").run();
    expect(await all(world, account, { state: "failed" })).toEqual(["clip_00000000000000000000000001"]);
    expect(await all(world, account, { limit: 100 })).toHaveLength(4_500);
  });
});
