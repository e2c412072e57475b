// What an operator's machines ask: is it up, is it ready, how is it going.
import { createExecutionContext } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import worker from "../../../edge/index.ts";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { readMetrics } from "../../../edge/services/operator/metrics.ts";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { createEndpoint } from "../../../edge/services/webhooks/endpoints.ts";
import { env } from "../support/env.ts";
import { call, expectProblem, ORIGIN } from "../support/http.ts";
import { RecordingOutboxes } from "../support/receivers.ts";
import { newTenant } from "../support/tenant.ts";
import { CLIP_PRICE, DEMO, freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

/** Each sample's value by its name and labels. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

async function metrics(world: World): Promise<Map<string, number>> {
  return samplesOf(await readMetrics(world.ports));
}

describe("/metrics", () => {
  it("opens to the scrape token and the operator's, and to nobody else", async () => {
    for (const token of [env.METRICS_TOKEN, env.ADMIN_TOKEN]) {
      const answer = await call("GET", "/metrics", { token });
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
      expect(answer.headers.get("cache-control")).toBe("no-store");
    }
    await expectProblem(await call("GET", "/metrics"), "unauthenticated");
    const { key } = await newTenant();
    await expectProblem(await call("GET", "/metrics", { token: key }), "unauthenticated");
    await expectProblem(await call("GET", "/admin/v1/runners", { token: env.METRICS_TOKEN }), "unauthenticated");
  });

  it("opens to the operator alone where no scrape token is set", async () => {
    const { METRICS_TOKEN, ...without } = env;
    const ask = (token: string) => {
      const request = new Request(`${ORIGIN}/metrics`, { headers: { authorization: `Bearer ${token}` } });
      return worker.fetch(request as Request<unknown, IncomingRequestCfProperties>, without, createExecutionContext());
    };
    await expectProblem(await ask(METRICS_TOKEN), "unauthenticated");
    expect((await ask(env.ADMIN_TOKEN)).status).toBe(200);
  });

  it("is well-formed OpenMetrics: each family announced once, before its samples, and an end", async () => {
    const text = await (await call("GET", "/metrics", { token: env.METRICS_TOKEN })).text();
    expect(text.endsWith("# EOF\n")).toBe(true);
    const families = new Map<string, string>();
    for (const line of text.split("\n").slice(0, -2)) {
      const [, name = "", type = ""] = /^# TYPE (\w+) (gauge|counter)$/.exec(line) ?? [];
      if (name !== "") {
        expect(families.has(name)).toBe(false);
        families.set(name, type);
      } else if (!line.startsWith("# HELP ")) {
        const sample = /^(\w+)(?:\{\w+="[^"\n]*"(?:,\w+="[^"\n]*")*\})? \d+(?:\.\d+)?$/.exec(line)?.[1] ?? line;
        const family = [...families.keys()].at(-1) ?? "";
        expect(sample).toBe(families.get(family) === "counter" ? `${family}_total` : family);
      }
    }
    expect(families.size).toBe(9);
  });

  it("counts clips by state and model as they move, and what is held for them", async () => {
    const world = new World();
    const account = await world.account();
    await world.finished(account);
    await cancelClip(world.ports, account, (await world.order(account)).id);
    await world.order(account, { expires_after: 10 });
    world.advance(10_000);
    await sweep(world.ports);
    await world.order(account);
    await world.start(await world.runner());
    await world.order(account);
    await world.claim(await world.runner());
    await world.order(account);
    world.advance(4_000);
    await world.order(account);
    const now = await metrics(world);
    const clips = (state: string) => now.get(`turboclip_clips{state="${state}",model="${DEMO}"}`);
    const ended = (state: string) => now.get(`turboclip_clips_ended_total{state="${state}",model="${DEMO}"}`);
    expect(["queued", "leased", "running"].map(clips)).toEqual([2, 1, 1]);
    expect(["succeeded", "failed", "cancelled", "expired"].map(ended)).toEqual([1, 0, 1, 1]);
    expect(now.get(`turboclip_queue_oldest_seconds{model="${DEMO}"}`)).toBe(4);
    expect(now.get(`turboclip_queue_oldest_seconds{model="turbowan2.1-t2v-14b-720p"}`)).toBe(0);
    expect(now.get("turboclip_holds_micros")).toBe(4 * CLIP_PRICE);
  });

  it("counts runners by state, and by the models that they offer", async () => {
    const world = new World();
    const [live, dead, drained] = [await world.runner(), await world.runner(), await world.runner()];
    await world.runner();
    const seen = async (id: string, ms: number, models: readonly string[]) =>
      await env.DB.prepare("update runners set last_seen_ms = ?, models = ? where id = ?")
        .bind(world.nowMs - ms, JSON.stringify(models), id)
        .run();
    await seen(live, 0, [DEMO, "another"]);
    await seen(dead, DEFAULT_TIMES.leaseMs, [DEMO]);
    await seen(drained, 1, [DEMO]);
    await env.DB.prepare("update runners set drained_since_ms = 1 where id = ?").bind(drained).run();
    const now = await metrics(world);
    const states = ["live", "draining", "dead", "never_seen"];
    expect(states.map((state) => now.get(`turboclip_runners{state="${state}"}`))).toEqual([1, 1, 1, 1]);
    const offering = (state: string, model: string) =>
      now.get(`turboclip_runners_offering{state="${state}",model="${model}"}`);
    expect([offering("live", DEMO), offering("live", "another"), offering("dead", "another")]).toEqual([
      1,
      1,
      undefined,
    ]);
  });

  it("tells the webhooks that wait, how old the oldest is and how late", async () => {
    const world = new World({ outboxes: new RecordingOutboxes() });
    const account = await world.account();
    await createEndpoint(world.ports, account, { url: "http://127.0.0.1:9/hook", events: null });
    await cancelClip(world.ports, account, (await world.order(account)).id);
    world.advance(3_000);
    await cancelClip(world.ports, account, (await world.order(account)).id);
    await env.DB.prepare("update webhook_deliveries set next_attempt_at_ms = next_attempt_at_ms + 1000").run();
    world.advance(500);
    const now = await metrics(world);
    expect(now.get("turboclip_webhook_deliveries_pending")).toBe(2);
    expect(now.get("turboclip_webhook_oldest_pending_seconds")).toBe(3.5);
    expect(now.get("turboclip_webhook_overdue_seconds")).toBe(2.5);
  });
});

describe("/readyz", () => {
  const ask = async (bindings: object = {}) => {
    const request = new Request(`${ORIGIN}/readyz`) as Request<unknown, IncomingRequestCfProperties>;
    const answer = await worker.fetch(request, { ...env, ...bindings }, createExecutionContext());
    return { status: answer.status, body: await answer.json() };
  };

  it("says that database, migrations and bucket are there", async () => {
    const checks = { database: "ok", migrations: "ok", bucket: "ok" };
    expect(await ask()).toEqual({ status: 200, body: { status: "ready", checks } });
  });

  it("names the migration that is missing, and takes one more for a newer version's", async () => {
    await env.DB.prepare("insert into d1_migrations (name) values ('9999_of_tomorrow.sql')").run();
    expect((await ask()).status).toBe(200);
    await env.DB.prepare("delete from d1_migrations where name like '0003%'").run();
    const migrations = "apply 0003_spending_limits.sql (wrangler d1 migrations apply)";
    const checks = { database: "ok", migrations, bucket: "ok" };
    expect(await ask()).toEqual({ status: 503, body: { status: "not_ready", checks } });
  });

  it("says that an empty database lacks them all", async () => {
    await env.DB.prepare("drop table d1_migrations").run();
    const { status, body } = await ask();
    expect(status).toBe(503);
    expect(JSON.stringify(body)).toContain("0000_first_light.sql, 0001_append_only_ledger.sql");
  });

  it("says that the database or the bucket does not answer", async () => {
    const broken = {
      prepare: () => {
        throw new Error("D1_ERROR: no such database");
      },
    };
    const checks = { database: "does not answer", migrations: "unknown", bucket: "ok" };
    expect(await ask({ DB: broken })).toEqual({ status: 503, body: { status: "not_ready", checks } });
    const head = async () => {
      throw new Error("no such bucket");
    };
    const bucket = { database: "ok", migrations: "ok", bucket: "does not answer" };
    expect(await ask({ BUCKET: { head } })).toEqual({ status: 503, body: { status: "not_ready", checks: bucket } });
  });
});
