import { beforeEach, describe, expect, it } from "vitest";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { awaitClip, sightOf, watchClip } from "../../../edge/services/clips/watch.ts";
import { heartbeat } from "../../../edge/services/leases/heartbeat.ts";
import type { ProgressFeed } from "../../../edge/services/ports.ts";
import { freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

/** Each wait is a turn of the script; the feed itself forgets every change, so that only the database tells. */
function scripted(turns: readonly (() => Promise<unknown>)[]): ProgressFeed {
  let turn = 0;
  return {
    put: async () => {},
    get: async () => null,
    nudge: async () => {},
    watch: async (_, seen) => {
      if (seen === -1) return 0;
      await turns[turn++]?.();
      return seen;
    },
  };
}

describe("watching a clip", () => {
  it("tells each change once, and ends when the clip has", async () => {
    const real = new World();
    const account = await real.account();
    const { id } = await real.order(account);
    const runner = await real.runner();
    let ref: Awaited<ReturnType<World["start"]>>["ref"] | undefined;
    const later = async () => {
      if (ref !== undefined) await heartbeat(real.ports, ref, { stage: "denoise", step: 2, steps: 4 });
    };
    const feed = scripted([
      async () => {},
      async () => {
        ({ ref } = await real.start(runner));
      },
      async () => real.advance(20_000),
      later,
      async () => {},
      async () => await cancelClip(real.ports, account, id),
      () => Promise.reject(new Error("nobody waits for a clip that has ended")),
    ]);
    const sights: string[] = [];
    const watch = { untilMs: real.nowMs + 600_000 };
    for await (const clip of watchClip({ ...real.ports, feed }, account, id, watch)) sights.push(sightOf(clip));
    expect(sights).toEqual(["queued.0.1", "running.1.load.0", "running.1.denoise.2", "cancelled.1"]);
  });

  it("tells each step that a waiting clip takes in the queue", async () => {
    const real = new World();
    const account = await real.account();
    const ahead = [(await real.order(account)).id, (await real.order(account)).id];
    const { id } = await real.order(account);
    const cancel = async () => await cancelClip(real.ports, account, ahead.shift() ?? id);
    const feed = scripted([cancel, async () => {}, cancel, cancel]);
    const seen: unknown[] = [];
    const watch = { untilMs: real.nowMs + 600_000 };
    for await (const clip of watchClip({ ...real.ports, feed }, account, id, watch)) {
      seen.push([clip.state, clip.queue?.position]);
    }
    expect(seen).toEqual([
      ["queued", 3],
      ["queued", 2],
      ["queued", 1],
      ["cancelled", undefined],
    ]);
  });

  it("ends when the time is up, with the clip as it then is", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const runner = await world.runner();
    const feed = scripted([
      async () => {
        await world.start(runner);
        world.advance(30_000);
      },
      () => Promise.reject(new Error("the time is up")),
    ]);
    expect((await awaitClip({ ...world.ports, feed }, account, id, 30_000)).state).toBe("running");
  });

  it("ends when nobody looks any more", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const gone = new AbortController();
    const feed = scripted([async () => gone.abort(), () => Promise.reject(new Error("nobody looks"))]);
    const watch = { untilMs: world.nowMs + 60_000, signal: gone.signal };
    const seen: string[] = [];
    for await (const clip of watchClip({ ...world.ports, feed }, account, id, watch)) seen.push(clip.state);
    expect(seen).toEqual(["queued"]);
  });

  it("of another account is like watching none", async () => {
    const world = new World();
    const { id } = await world.order(await world.account());
    const watching = awaitClip(world.ports, await world.account(), id, 1_000);
    await expect(watching).rejects.toMatchObject({ code: "not_found" });
  });
});
