import { beforeEach, describe, expect, it } from "vitest";
import { type Clip, clipSchema } from "../../../shared/contract/clips.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { claimOne, newRunner, newTenant, type Tenant } from "../support/tenant.ts";
import { completion, DEMO, FILES, freshDeployment, LOADING } from "../support/world.ts";

beforeEach(freshDeployment);

const ORDER = { model: DEMO, prompt: "a red ball" };

async function order({ key }: Tenant): Promise<Clip> {
  return clipSchema.parse(await (await call("POST", "/v1/clips", { token: key, body: ORDER })).json());
}

/** A runner that makes the one clip that is queued. */
async function makeIt(): Promise<void> {
  const runner = await newRunner();
  const claim = await claimOne(runner);
  const attempt = `/runner/v1/attempts/${claim.lease_token}`;
  await call("POST", `${attempt}/heartbeat`, { token: runner.token, body: LOADING });
  const folder = `clips/${claim.clip_id}/${claim.attempt}`;
  await env.BUCKET.put(`${folder}/clip.mp4`, FILES.mp4);
  await env.BUCKET.put(`${folder}/poster.jpg`, FILES.poster);
  await call("POST", `${attempt}/complete`, { token: runner.token, body: await completion() });
}

async function queued(tenant: Tenant): Promise<boolean> {
  const page = (await (await call("GET", "/v1/clips", { token: tenant.key })).json()) as { data: Clip[] };
  return page.data.length > 0;
}

describe("Prefer: wait", () => {
  it("lets a create answer 200 with the finished clip", async () => {
    const tenant = await newTenant();
    const headers = { prefer: "respond-async, wait=60" };
    const answer = call("POST", "/v1/clips", { token: tenant.key, body: ORDER, headers });
    while (!(await queued(tenant)));
    await makeIt();
    const done = await answer;
    expect(done.status).toBe(200);
    expect(done.headers.get("preference-applied")).toBe("wait=60");
    const clip = clipSchema.parse(await done.json());
    expect(clip.state).toBe("succeeded");
    expect(done.headers.get("location")).toBe(`/v1/clips/${clip.id}`);
  });

  it("of no seconds answers a create with 202 and the queued clip", async () => {
    const { key } = await newTenant();
    const answer = await call("POST", "/v1/clips", { token: key, body: ORDER, headers: { prefer: "wait=0" } });
    expect(answer.status).toBe(202);
    expect(clipSchema.parse(await answer.json()).state).toBe("queued");
  });

  it("lets a get answer when the clip has ended, and at most a minute later", async () => {
    const tenant = await newTenant();
    const { id } = await order(tenant);
    const answer = call("GET", `/v1/clips/${id}`, { token: tenant.key, headers: { prefer: "wait=3600" } });
    await call("POST", `/v1/clips/${id}/cancel`, { token: tenant.key });
    const done = await answer;
    expect(done.headers.get("preference-applied")).toBe("wait=60");
    expect(clipSchema.parse(await done.json()).state).toBe("cancelled");
  });

  it("that is not understood is ignored", async () => {
    const tenant = await newTenant();
    const { id } = await order(tenant);
    for (const prefer of ["wait", "wait=soon", "wait=-1", "xwait=5"]) {
      const answer = await call("GET", `/v1/clips/${id}`, { token: tenant.key, headers: { prefer } });
      expect(answer.headers.get("preference-applied")).toBeNull();
    }
  });
});

interface Event {
  readonly id: string;
  readonly clip: Clip;
}

/** The whole stream, once it has ended. */
async function eventsOf(answer: Response): Promise<Event[]> {
  expect(answer.headers.get("content-type")).toContain("text/event-stream");
  return (await answer.text())
    .split("\n\n")
    .filter((block) => block !== "" && !block.startsWith(":"))
    .map((block) => {
      const fields = new Map(block.split("\n").map((line) => line.split(/: (.*)/s, 2) as [string, string]));
      expect([fields.get("event"), fields.get("retry")]).toEqual(["clip", "1000"]);
      return { id: fields.get("id") ?? "", clip: clipSchema.parse(JSON.parse(fields.get("data") ?? "")) };
    });
}

describe("GET /v1/clips/{id}/events", () => {
  it("tells the clip as it is, each change, and ends with the clip", async () => {
    const tenant = await newTenant();
    const { id } = await order(tenant);
    const answer = await call("GET", `/v1/clips/${id}/events`, { token: tenant.key });
    expect(answer.status).toBe(200);
    const events = eventsOf(answer);
    await makeIt();
    const told = await events;
    expect(told[0]?.clip.state).toBe("queued");
    expect(told.at(-1)?.clip.state).toBe("succeeded");
    expect(told.at(-1)?.clip.output?.mp4.bytes).toBe(FILES.mp4.length);
    expect(new Set(told.map((event) => event.id)).size).toBe(told.length);
  });

  it("with Last-Event-ID tells only what is new, and 204 when that is nothing any more", async () => {
    const tenant = await newTenant();
    const { id } = await order(tenant);
    await call("POST", `/v1/clips/${id}/cancel`, { token: tenant.key });
    const path = `/v1/clips/${id}/events`;
    const first = await eventsOf(await call("GET", path, { token: tenant.key }));
    expect(first.map(({ clip }) => clip.state)).toEqual(["cancelled"]);
    const headers = { "last-event-id": first[0]?.id ?? "" };
    expect((await call("GET", path, { token: tenant.key, headers })).status).toBe(204);
    const old = { "last-event-id": "queued.0" };
    expect(await eventsOf(await call("GET", path, { token: tenant.key, headers: old }))).toHaveLength(1);
  });

  it("of a clip of another account answers as for none", async () => {
    const { id } = await order(await newTenant());
    const { key } = await newTenant();
    await expectProblem(await call("GET", `/v1/clips/${id}/events`, { token: key }), "not_found");
    await expectProblem(await call("GET", `/v1/clips/${id}/events`), "unauthenticated");
  });
});
