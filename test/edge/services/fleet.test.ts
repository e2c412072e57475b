import { beforeEach, describe, expect, it } from "vitest";
import { claimClip } from "../../../edge/services/leases/claim.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { heartbeat } from "../../../edge/services/leases/heartbeat.ts";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import { admitRunner } from "../../../edge/services/runners/admit.ts";
import { drainRunner, resumeRunner } from "../../../edge/services/runners/drain.ts";
import { viewFleet } from "../../../edge/services/runners/fleet.ts";
import type { PollRequest } from "../../../shared/contract/runner.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import { env } from "../support/env.ts";
import { expectInvariants } from "../support/invariants.ts";
import { completion, DEMO, freshDeployment, freshNonce, LOADING, World } from "../support/world.ts";

beforeEach(freshDeployment);

const { leaseMs } = DEFAULT_TIMES;

function poll(runnerId: RunnerId, wanted: Partial<PollRequest> = {}): PollRequest {
  const base = { runner_id: runnerId, nonce: freshNonce(), models: [DEMO], loaded_model: null, version: "1.4.2" };
  return { ...base, wait_s: 0, ...wanted };
}

const newWorld = () => new World({ version: "1.4.0" });

async function stateOf(world: World, id: RunnerId) {
  return (await viewFleet(world.ports)).data.find((runner) => runner.id === id);
}

describe("a runner's version", () => {
  it.each(["1.3.0", "1.3.99", "1.4.7", "1.5.0", "1.5.0-rc.1"])("%s works with an edge of 1.4.0", async (version) => {
    const world = newWorld();
    const runner = await world.runner();
    await admitRunner(world.ports, runner, poll(runner, { version }));
    expect(await stateOf(world, runner)).toMatchObject({ state: "live", version });
  });

  it.each([
    ["1.2.9", "runner"],
    ["0.4.0", "runner"],
    ["1.6.0", "edge"],
    ["2.4.0", "edge"],
    ["new", "runner"],
    ["", "runner"],
  ])("%s does not, and the refusal says which of the two to update", async (version, behind) => {
    const world = newWorld();
    const runner = await world.runner();
    await expect(admitRunner(world.ports, runner, poll(runner, { version }))).rejects.toMatchObject({
      code: "version_unsupported",
      pointer: "/version",
      message: `This edge is 1.4.0 and works with runners from 1.3 to 1.5; this runner is ${version}. Update the ${behind}.`,
    });
    expect(await stateOf(world, runner)).toMatchObject({ state: "never_seen" });
  });

  it("does not keep a runner from finishing what it has", async () => {
    const world = newWorld();
    await world.order(await world.account());
    const { claim, ref } = await world.start(await world.runner());
    const updated = { ...world.ports, version: "1.9.0" };
    await world.upload(claim);
    await heartbeat(updated, ref, LOADING);
    expect(await completeAttempt(updated, ref, await completion())).toEqual({ state: "succeeded" });
  });
});

describe("the fleet", () => {
  it("shows what each runner said about itself and what it does", async () => {
    const world = newWorld();
    const account = await world.account();
    const { id } = await world.order(account);
    const [busy, idle, unseen] = [await world.runner(), await world.runner(), await world.runner()];
    const says = { loaded_model: DEMO, engine: "cuda/1.4.2", devices: ["cuda:0", "cuda:1"] };
    await admitRunner(world.ports, busy, poll(busy, says));
    await admitRunner(world.ports, idle, poll(idle));
    const { claim } = await world.start(busy);
    const seen = new Date(world.nowMs).toISOString();
    expect(await stateOf(world, busy)).toEqual({
      id: busy,
      name: "a runner",
      state: "live",
      drained_since: null,
      last_seen_at: seen,
      version: "1.4.2",
      engine: "cuda/1.4.2",
      devices: ["cuda:0", "cuda:1"],
      models: [DEMO],
      loaded_model: DEMO,
      attempts: [
        {
          clip_id: id,
          attempt: claim.attempt,
          model: DEMO,
          stage: "load",
          lease_until: new Date(world.nowMs + leaseMs).toISOString(),
        },
      ],
    });
    expect(await stateOf(world, idle)).toMatchObject({ state: "live", devices: ["unknown"], attempts: [] });
    expect(await stateOf(world, unseen)).toMatchObject({ state: "never_seen", last_seen_at: null, models: [] });
  });

  it("calls a runner dead once it has said nothing for a lease, and alive again when it comes back", async () => {
    const world = newWorld();
    const runner = await world.runner();
    await admitRunner(world.ports, runner, poll(runner));
    world.advance(leaseMs - 1);
    expect(await stateOf(world, runner)).toMatchObject({ state: "live" });
    world.advance(1);
    expect(await stateOf(world, runner)).toMatchObject({ state: "dead" });
    await admitRunner(world.ports, runner, poll(runner));
    expect(await stateOf(world, runner)).toMatchObject({ state: "live" });
  });

  it("counts a runner as alive that only sends heartbeats, for as long as its clip takes", async () => {
    const world = newWorld();
    await world.order(await world.account());
    const runner = await world.runner();
    await admitRunner(world.ports, runner, poll(runner));
    const { ref } = await world.start(runner);
    for (let step = 0; step < 40; step++) {
      world.advance(5_000);
      await heartbeat(world.ports, ref, { stage: "denoise", step, steps: 40 });
      expect(await stateOf(world, runner)).toMatchObject({ state: "live" });
    }
    world.advance(leaseMs);
    expect(await stateOf(world, runner)).toMatchObject({ state: "dead" });
  });
});

describe("draining a runner", () => {
  it("lets it finish what it has and gives it nothing more, until it is resumed", async () => {
    const world = newWorld();
    const account = await world.account();
    await world.order(account);
    const second = await world.order(account);
    const runner = await world.runner();
    await admitRunner(world.ports, runner, poll(runner));
    const { claim, ref } = await world.start(runner);
    await drainRunner(world.ports, runner);
    expect(world.bell.dismissed).toEqual([runner]);
    expect(await stateOf(world, runner)).toMatchObject({
      state: "draining",
      drained_since: new Date(world.nowMs).toISOString(),
      attempts: [{ clip_id: claim.clip_id }],
    });
    expect(await claimClip(world.ports, runner, poll(runner))).toBeNull();
    await world.upload(claim);
    expect(await completeAttempt(world.ports, ref, await completion())).toEqual({ state: "succeeded" });
    expect(await claimClip(world.ports, runner, poll(runner))).toBeNull();
    await resumeRunner(world.ports, runner);
    expect(await claimClip(world.ports, runner, poll(runner))).toMatchObject({ clip_id: second.id });
    await expectInvariants();
  });

  it("still answers a poll whose answer was lost with the claim that it had", async () => {
    const world = newWorld();
    await world.order(await world.account());
    const runner = await world.runner();
    const nonce = freshNonce();
    const claim = await world.claim(runner, nonce);
    await drainRunner(world.ports, runner);
    expect(await world.claim(runner, nonce)).toEqual(claim);
  });

  it("wins or loses against a claim, but never half: the clip is leased or waits", async () => {
    for (let round = 0; round < 6; round++) {
      const world = newWorld();
      const account = await world.account();
      const { id } = await world.order(account);
      const runner = await world.runner();
      const claiming = () => claimClip(world.ports, runner, poll(runner));
      const draining = () => drainRunner(world.ports, runner).then(() => null);
      const [claim] =
        round % 2 === 0
          ? await Promise.all([claiming(), draining()])
          : (await Promise.all([draining(), claiming()])).toReversed();
      const row = await env.DB.prepare("select state from clips where id = ?").bind(id).first();
      expect(row).toEqual({ state: claim === null ? "queued" : "leased" });
      await expectInvariants();
    }
  });

  it("twice keeps the time since when; a runner that does not exist is not_found", async () => {
    const world = newWorld();
    const runner = await world.runner();
    await drainRunner(world.ports, runner);
    const since = (await stateOf(world, runner))?.drained_since;
    world.advance(1_000);
    await drainRunner(world.ports, runner);
    expect((await stateOf(world, runner))?.drained_since).toBe(since);
    const absent = "rnr_01j9z3k4m5n6p7q8r9s0t1v2w3" as RunnerId;
    await expect(drainRunner(world.ports, absent)).rejects.toMatchObject({ code: "not_found" });
    await expect(resumeRunner(world.ports, absent)).rejects.toMatchObject({ code: "not_found" });
  });
});
