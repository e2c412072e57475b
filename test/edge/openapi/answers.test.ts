// One test for each answer that the document describes, by operation, status and code: it is really given, and as it is
// described. A route that documents what it never answers fails here, and so does one that nobody has written a case for.
import { beforeAll, describe, expect, it } from "vitest";
import described from "../../../docs/openapi.json";
import { call } from "../support/http.ts";
import { freshDeployment } from "../support/world.ts";
import { type Account, newAccount } from "./deployment.ts";
import { codeOf, codesOf, type Document, Judge, type Operation, operationsOf } from "./document.ts";
import { ask, exampleOf, recipeFor, withId } from "./refusals.ts";

const DOCUMENT = described as unknown as Document;
/** Answers that no request brings about by itself, and which tests show them. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  internal: "a fault of ours: test/edge/routes/service.test.ts breaks the database",
  idempotency_in_flight: "between two statements of another request: test/edge/services/clips.test.ts",
};

const operations = operationsOf(DOCUMENT);

function answersOf(operation: Operation): { status: string; code: string }[] {
  return Object.keys(operation.responses).flatMap((status) =>
    (Number(status) < 400 ? [""] : codesOf(operation, Number(status)))
      .filter((code) => ELSEWHERE[code] === undefined)
      .map((code) => ({ status, code })),
  );
}

let judge: Judge;

beforeAll(async () => {
  await freshDeployment();
  judge = new Judge(DOCUMENT);
});

describe("the document", () => {
  it("is the one that is served", async () => {
    const served = (await (await call("GET", "/openapi.json")).json()) as object;
    expect({ ...served, servers: [] }).toEqual({ ...described, servers: [] });
  });
});

describe.each(operations)("$operationId gives each documented answer as described:", (operation) => {
  let account: Account;
  beforeAll(async () => {
    account = await newAccount();
  });

  it.each(answersOf(operation))("$status $code", async ({ status, code }) => {
    const recipe = recipeFor(operation, Number(status), code);
    if (recipe === undefined) throw new Error("test/edge/openapi/refusals.ts does not say how to bring it about");
    const answer = await recipe({ operation, account });
    const kept = answer.status >= 400 ? answer.clone() : null;
    expect(await judge.faults(operation, answer)).toEqual([]);
    expect(`${answer.status} ${kept === null ? "" : codeOf(await kept.json())}`).toBe(`${status} ${code}`);
  });
});

/** Of one request only: its name, and what is left of the rate. */
const OF_ITS_OWN = ["x-request-id", "ratelimit", "date"];

async function bare(answer: Response): Promise<object> {
  const headers = [...answer.headers].filter(([name]) => !OF_ITS_OWN.includes(name));
  const body = (await answer.text()).replaceAll(/req_[0-9a-z]{26}/g, "req");
  return { status: answer.status, headers, body };
}

describe("what is another account's answers byte for byte like what is absent:", () => {
  let account: Account;
  let other: Account;
  beforeAll(async () => {
    account = await newAccount();
    other = await newAccount();
  });
  const named = operations.filter(({ path, security }) => path.includes("{id}") && security !== undefined);

  it.each(named)("$operationId", async (operation) => {
    const foreign = await exampleOf({ operation, account: other });
    const id = /([a-z]+)_[0-9a-z]{26}/.exec(foreign.path)?.[0] ?? "";
    expect((await ask({ operation, account: other }, { path: foreign.path })).status).toBeLessThan(300);
    const fresh = await exampleOf({ operation, account: other });
    const theirs = await bare(await ask({ operation, account }, { path: fresh.path }));
    const absent = withId(fresh.path, `${id.split("_")[0]}_01j9z3k4m5n6p7q8r9s0t1v2w3`);
    expect(theirs).toEqual(await bare(await ask({ operation, account }, { path: absent })));
    expect(theirs).toMatchObject({ status: 404 });
  });
});
