// Every operation of the OpenAPI document, with requests that are right and wrong in many ways: no answer is a 500, and
// none is one that the document does not describe. A seed names one run:
//   FUZZ_SEED=7 FUZZ_CASES=500 node node_modules/vitest/vitest.mjs run --config vitest.edge.config.ts test/edge/openapi/fuzz
import { beforeAll, describe, expect, it } from "vitest";
import { RATE_POLICIES } from "../../../shared/contract/rate-limits.ts";
import { Random } from "../../simulation/random.ts";
import { env } from "../support/env.ts";
import { call } from "../support/http.ts";
import { admin } from "../support/tenant.ts";
import { freshDeployment } from "../support/world.ts";
import { type Account, newAccount, send } from "./deployment.ts";
import { type Document, Judge, type Operation, operationsOf } from "./document.ts";
import { pathOf } from "./examples.ts";
import { Generator } from "./generate.ts";
import { Requests } from "./requests.ts";

const { FUZZ_SEED, FUZZ_CASES } = env;
/** So many that a quota is never what answers. */
const UNLIMITED = { quota: 1_000_000_000, windowS: 1 };
const BINDINGS = {
  RATE_LIMITS: JSON.stringify(Object.fromEntries(RATE_POLICIES.map((policy) => [policy, UNLIMITED]))),
};

/** As many times more cases for an operation that has only seen refusals. */
const PATIENCE = 10;

let document: Document;
let judge: Judge;
let caller: Account;
let other: Account;

beforeAll(async () => {
  await freshDeployment();
  document = await (await call("GET", "/openapi.json")).json();
  judge = new Judge(document);
  caller = await newAccount();
  other = await newAccount();
  // Nor the clips that are in flight, of which each case may make some.
  await (await admin("PATCH", `/accounts/${caller.tenant.accountId}`, { max_in_flight: 1_000_000 })).text();
});

function requestsFor(seed: number): Requests {
  const random = new Random(seed);
  const generator = new Generator(random, document, { own: caller.owned, others: other.owned });
  const secrets = { token: pathOf(caller.triggerUrl).slice("/t/".length) };
  const good = `Bearer ${caller.bearer}`;
  const bad = ["", "Bearer", "Basic abc", "Bearer tc_live_x", `${good}x`, `Bearer ${env.ADMIN_TOKEN}`];
  return new Requests(random, generator, { good, bad }, secrets);
}

/** A signed URL cannot be guessed. */
const isReachable = ({ operationId }: Operation) => operationId !== "downloadFile";

interface Outcome {
  readonly faults: readonly string[];
  readonly statuses: ReadonlySet<number>;
}

async function fuzz(operation: Operation, cases: number): Promise<Outcome> {
  const requests = requestsFor(FUZZ_SEED + operationsOf(document).findIndex((o) => o.path === operation.path));
  const faults: string[] = [];
  const statuses = new Set<number>();
  // One that only ever sees refusals proves nothing.
  const isProof = () => Math.min(...statuses) < 400 || !isReachable(operation);
  for (let i = 0; i < cases || (!isProof() && i < PATIENCE * cases); i++) {
    const request = requests.draw(operation);
    const shown = `case ${i}: ${request.method} ${request.url.slice(0, 200)} ${await request.clone().text()}`;
    const answer = await send(request, BINDINGS);
    statuses.add(answer.status);
    const found = await judge.faults(operation, answer);
    faults.push(...found.map((fault) => `${shown.slice(0, 500)}\n  ${fault}`));
  }
  return { faults, statuses };
}

describe("a fuzz of the OpenAPI document", () => {
  it("finds no 5xx and no undocumented answer of any operation", { timeout: 600_000 }, async () => {
    const found: string[] = [];
    // What ends an old secret, disables or deletes comes last, so that the others find what they ask for.
    const harm = ({ method, operationId }: Operation) =>
      operationId.startsWith("rotate") ? -0.5 : ["PATCH", "DELETE"].indexOf(method);
    for (const operation of operationsOf(document).toSorted((a, b) => harm(a) - harm(b))) {
      const { faults, statuses } = await fuzz(operation, FUZZ_CASES);
      found.push(...faults.map((fault) => `${operation.operationId}, ${fault}`));
      if (Math.min(...statuses) >= 400 && isReachable(operation))
        found.push(`${operation.operationId} answered only ${[...statuses].join(", ")}`);
    }
    expect(found, `FUZZ_SEED=${FUZZ_SEED}`).toEqual([]);
  });

  it("gives the same requests for the same seed, and others for another", async () => {
    const [operation] = operationsOf(document).filter(({ operationId }) => operationId === "createClip");
    if (operation === undefined) throw new Error("createClip is not described");
    const drawn = async (seed: number) => {
      const requests = requestsFor(seed);
      const all = Array.from({ length: 20 }, () => requests.draw(operation));
      return await Promise.all(all.map(async (request) => [request.url, await request.text()]));
    };
    expect(await drawn(3)).toEqual(await drawn(3));
    expect(await drawn(3)).not.toEqual(await drawn(4));
  });
});

describe("the judge of answers", () => {
  const answered = async (init: ResponseInit, body: unknown = null) => {
    const operation = operationsOf(document).find(({ operationId }) => operationId === "getBalance");
    if (operation === undefined) throw new Error("getBalance is not described");
    const headers = { "content-type": "application/json", "x-request-id": "req_1", "turboclip-version": "2026-11-01" };
    const text = body === null ? null : JSON.stringify(body);
    return await judge.faults(operation, new Response(text, { headers, ...init }));
  };
  const BALANCE = { posted_micros: 1, pending_micros: 0, available_micros: 1 };
  const PROBLEM = { type: "t", title: "t", detail: "d", request_id: "r", retryable: false };

  it("lets an answer pass that is as described", async () => {
    expect(await answered({}, BALANCE)).toEqual([]);
  });

  it.each([
    ["status 5", { status: 503 }, null],
    ["undocumented status 418", { status: 418 }, null],
    ["without turboclip-version", { headers: { "content-type": "application/json", "x-request-id": "r" } }, BALANCE],
    ["content type", { headers: { "content-type": "text/html", "x-request-id": "r" } }, BALANCE],
    ["not of its schema", {}, { ...BALANCE, posted_micros: "1" }],
    ["not of its schema", {}, { ...BALANCE, undocumented: 1 }],
    ["not of its schema", {}, { posted_micros: 1 }],
    [
      "undocumented code",
      { status: 400, headers: { "content-type": "application/problem+json" } },
      { ...PROBLEM, status: 400, code: "prompt_empty" },
    ],
  ])("finds a planted fault: %s", async (fault, init, body) => {
    expect((await answered(init, body)).join("\n")).toContain(fault);
  });
});
