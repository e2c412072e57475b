import { beforeEach, describe, expect, it } from "vitest";
import { deleteClip } from "../../../edge/services/clips/delete.ts";
import { listClips } from "../../../edge/services/clips/list.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import type { ObjectStore } from "../../../edge/services/ports.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import type { AccountId, ClipId } from "../../../shared/ids.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { call, expectProblem } from "../support/http.ts";
import { eventsOf, everything, expectInvariants } from "../support/invariants.ts";
import { countOf } from "../support/search.ts";
import { newTenant } from "../support/tenant.ts";
import { CLIP_PRICE, completion, DEMO, freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

const SECRET = "a very private turquoise elephant";
const NONE = { inDatabase: 0, inBucket: 0 };
const BODY = { model: DEMO, prompt: SECRET, metadata: { note: `about ${SECRET}` } };

/** A clip that has succeeded, whose files repeat the prompt, and a key that ordered it. */
async function finished(world: World, accountId: AccountId): Promise<{ id: ClipId; url: string }> {
  const { id } = await world.order(accountId, BODY, "order-1");
  const { claim, ref } = await world.start(await world.runner());
  await world.upload(claim);
  await completeAttempt(world.ports, ref, await completion());
  for (const name of ["clip.mp4", "poster.jpg"]) {
    await env.BUCKET.put(`clips/${id}/1/${name}`, `bytes that show ${SECRET}`);
  }
  return { id, url: (await world.get(accountId, id)).output?.mp4.url ?? "" };
}

function worldNow(): World {
  const world = new World();
  world.nowMs = Date.now();
  return world;
}

describe("DELETE /v1/clips/{id}", () => {
  it("answers 204 and leaves the prompt nowhere in the database or the bucket", async () => {
    const world = worldNow();
    const accountId = await world.account();
    const token = await world.key(accountId);
    const { id, url } = await finished(world, accountId);
    const before = await countOf(SECRET);
    expect(before.inDatabase).toBeGreaterThanOrEqual(4); // prompt and metadata, of the clip and of the kept answer
    expect(before.inBucket).toBe(2);
    const answer = await call("DELETE", `/v1/clips/${id}`, { token });
    expect([answer.status, await answer.text()]).toEqual([204, ""]);
    expect(await countOf(SECRET)).toEqual(NONE);
    await expectProblem(await call("GET", `/v1/clips/${id}`, { token }), "not_found");
    await expectProblem(await call("GET", `/v1/clips/${id}/events`, { token }), "not_found");
    await expectProblem(await call("POST", `/v1/clips/${id}/cancel`, { token }), "not_found");
    expect(await (await call("GET", "/v1/clips", { token })).json()).toEqual({ data: [], next: null });
    await expectProblem(await call("GET", url.replace("https://clips.test", "")), "expired");
    expect(await eventsOf(id)).toContain("deleted 1");
    await expectInvariants();
  });

  it("keeps what the clip cost", async () => {
    const world = worldNow();
    const accountId = await world.account();
    const token = await world.key(accountId);
    const { id } = await finished(world, accountId);
    const money = async () =>
      await Promise.all(
        ["/v1/balance", "/v1/ledger", "/v1/usage"].map(
          async (path) => await (await call("GET", path, { token })).text(),
        ),
      );
    const before = await money();
    await call("DELETE", `/v1/clips/${id}`, { token });
    expect(await money()).toEqual(before);
    expect(before[1]).toContain(`${CLIP_PRICE}`);
  });

  it("answers the same again, and another clip keeps what it has", async () => {
    const world = worldNow();
    const accountId = await world.account();
    const token = await world.key(accountId);
    const { id } = await finished(world, accountId);
    const kept = await world.order(accountId, { prompt: "a kept prompt" }, "order-2");
    expect((await call("DELETE", `/v1/clips/${id}`, { token })).status).toBe(204);
    const once = await everything();
    expect((await call("DELETE", `/v1/clips/${id}`, { token })).status).toBe(204);
    expect(await everything()).toEqual(once);
    expect((await world.order(accountId, { prompt: "a kept prompt" }, "order-2")).id).toBe(kept.id);
    expect((await listClips(world.ports, accountId, { limit: 20, metadata: [] })).data).toHaveLength(1);
  });

  it("makes a late repetition of the order clip_deleted instead of ordering anew", async () => {
    const { key: token } = await newTenant();
    const order = () => call("POST", "/v1/clips", { token, body: BODY, headers: { "idempotency-key": "k" } });
    const { id } = (await (await order()).json()) as { id: string };
    await call("POST", `/v1/clips/${id}/cancel`, { token });
    expect((await call("DELETE", `/v1/clips/${id}`, { token })).status).toBe(204);
    await expectProblem(await order(), "clip_deleted");
    expect(await countOf(SECRET)).toEqual(NONE);
  });

  it("is not_deletable, with the remedy, until the clip has ended, and changes nothing", async () => {
    const world = worldNow();
    const accountId = await world.account();
    const token = await world.key(accountId);
    const { id } = await world.order(accountId, BODY);
    const refused = async () => {
      const before = await everything();
      const detail = await expectProblem(await call("DELETE", `/v1/clips/${id}`, { token }), "not_deletable");
      expect(detail).toContain(`POST /v1/clips/${id}/cancel`);
      expect(await everything()).toEqual(before);
    };
    await refused();
    await world.claim(await world.runner());
    await refused();
  });

  it("erases what a runner said of a failure", async () => {
    const world = worldNow();
    const accountId = await world.account();
    const { id } = await world.order(accountId, BODY);
    const { ref } = await world.start(await world.runner());
    await failAttempt(world.ports, ref, {
      code: "engine_failed",
      message: `could not draw ${SECRET}`,
      retryable: false,
    });
    await deleteClip(world.ports, accountId, id);
    expect(await countOf(SECRET)).toEqual(NONE);
    await expectInvariants();
  });

  it("answers the clips of others byte for byte like absent ones, and leaves them alone", async () => {
    const world = worldNow();
    const { id } = await finished(world, await world.account());
    const { key: token } = await newTenant();
    const before = await everything();
    const texts: string[] = [];
    for (const wanted of [id, "clip_01j9z3k4m5n6p7q8r9s0t1v2w3"]) {
      const answer = await call("DELETE", `/v1/clips/${wanted}`, { token });
      expect(answer.status).toBe(404);
      texts.push((await answer.text()).replace(/req_\w+/, "req"));
    }
    expect(texts[0]).toBe(texts[1]);
    expect(await everything()).toEqual(before);
    await expectProblem(await call("DELETE", "/v1/clips/nonsense", { token }), "not_found");
    expect((await countOf(SECRET)).inBucket).toBe(2);
  });

  it("is closed without a key", async () => {
    await expectProblem(await call("DELETE", "/v1/clips/clip_01j9z3k4m5n6p7q8r9s0t1v2w3"), "unauthenticated");
  });
});

describe("a deletion that fails half-way", () => {
  it("is finished by its repetition when the bucket was down", async () => {
    const world = worldNow();
    const accountId = await world.account();
    const { id } = await finished(world, accountId);
    const down: ObjectStore = {
      ...world.ports.store,
      remove: async () => await Promise.reject(new Error("bucket down")),
    };
    await expect(deleteClip({ ...world.ports, store: down }, accountId, id)).rejects.toThrow("bucket down");
    expect((await countOf(SECRET)).inDatabase).toBe(0);
    await deleteClip(world.ports, accountId, id);
    expect(await countOf(SECRET)).toEqual(NONE);
  });

  it("is finished by the sweep if nobody repeats it, long before the output would have expired", async () => {
    const world = worldNow();
    const accountId = await world.account();
    const { id } = await finished(world, accountId);
    const down: ObjectStore = {
      ...world.ports.store,
      remove: async () => await Promise.reject(new Error("bucket down")),
    };
    await expect(deleteClip({ ...world.ports, store: down }, accountId, id)).rejects.toThrow("bucket down");
    world.advance(2 * world.ports.times.uploadUrlMs + 1);
    await sweep(world.ports);
    expect(await countOf(SECRET)).toEqual(NONE);
    await expectInvariants();
  });

  it("has happened when only its answer was lost", async () => {
    const flaky = flakyDatabase();
    const world = new World({ db: flaky.db });
    world.nowMs = Date.now();
    const accountId = await world.account();
    const { id } = await finished(world, accountId);
    flaky.lose("answer");
    await expect(deleteClip(world.ports, accountId, id)).rejects.toThrow("Network connection lost");
    await deleteClip(world.ports, accountId, id);
    expect(await countOf(SECRET)).toEqual(NONE);
    expect((await eventsOf(id)).filter((event) => event.startsWith("deleted"))).toHaveLength(1);
    await expectInvariants();
  });
});
