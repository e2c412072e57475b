import { beforeEach, describe, expect, it } from "vitest";
import { newApp } from "../../../edge/context.ts";
import { ACCESS, requireAccessOfAll } from "../../../edge/middleware/access.ts";
import { LIMITS } from "../../../shared/contract/clips.ts";
import { SCOPES } from "../../../shared/contract/keys.ts";
import { API_VERSIONS } from "../../../shared/contract/version.ts";
import { call, expectProblem, expectVideoError } from "../support/http.ts";
import { newKey } from "../support/keys.ts";
import { newTenant } from "../support/tenant.ts";
import { freshDeployment } from "../support/world.ts";

beforeEach(freshDeployment);

const EXAMPLES: Readonly<Record<string, string>> = {
  "{id}": "clip_01j9z3k4m5n6p7q8r9s0t1v2w3",
  "{file}": "2026-11.csv",
};
const ACCEPT = { accept: "application/json, text/event-stream" }; // MCP refuses a client that names less
const exampleOf = (path: string) => path.replaceAll(/\{\w+\}/g, (name) => EXAMPLES[name] ?? name);

describe("the table of access", () => {
  it("closes each route to a key that has every scope but the one it asks for", async () => {
    const tenant = await newTenant();
    for (const scope of SCOPES) {
      const { key: token } = await newKey(tenant, { scopes: SCOPES.filter((other) => other !== scope) });
      for (const [name, access] of Object.entries(ACCESS)) {
        if (access.scope !== scope) continue;
        const [method = "", path = ""] = name.split(" ");
        const answer = await call(method, exampleOf(path), { token, ...(method !== "GET" && { body: {} }) });
        const expectRefusal = path.startsWith("/v1/videos") ? expectVideoError : expectProblem;
        expect(await expectRefusal(answer, "scope_missing"), name).toContain(scope);
      }
    }
  });

  it("lets a key with the one scope past, to what the route itself says", async () => {
    const tenant = await newTenant();
    for (const scope of SCOPES) {
      const { key: token } = await newKey(tenant, { scopes: [scope] });
      for (const [name, access] of Object.entries(ACCESS)) {
        if (access.scope !== scope) continue;
        const [method = "", path = ""] = name.split(" ");
        const body = method === "GET" ? {} : { body: {} };
        const answer = await call(method, exampleOf(path), { token, headers: ACCEPT, ...body });
        await answer.text();
        expect([200, 400, 404], name).toContain(answer.status);
      }
    }
  });

  it("must know every route under /v1, or the app does not start", () => {
    const app = newApp();
    app.get("/v1/forgotten/:id", (c) => c.text("open to all"));
    expect(() => requireAccessOfAll(app, [])).toThrow("GET /v1/forgotten/{id}");
    expect(() => requireAccessOfAll(app, ["GET /v1/forgotten/{id}"])).not.toThrow();
  });

  it("answers an address that is none as not_found, with a key", async () => {
    const { key } = await newTenant();
    await expectProblem(await call("GET", "/v1/nothing", { token: key }), "not_found");
    await expectProblem(await call("GET", "/v1/nothing"), "unauthenticated");
  });
});

describe("an address that does not answer the method", () => {
  it("says which it answers, in words and as Allow, to who has a key", async () => {
    const { key } = await newTenant();
    const put = await call("PUT", "/v1/clips", { token: key });
    expect(put.headers.get("allow")).toBe("POST, GET");
    expect(await expectProblem(put, "method_not_allowed")).toBe("There is no PUT here; there is POST, GET.");
    const post = await call("POST", "/v1/clips/clip_01j9z3k4m5n6p7q8r9s0t1v2w3", { token: key });
    expect(post.headers.get("allow")).toBe("GET, DELETE");
    await expectProblem(post, "method_not_allowed");
    await expectProblem(await call("PUT", "/v1/clips"), "unauthenticated");
  });
});

describe("the OpenAPI document", () => {
  interface Described {
    readonly parameters: readonly { readonly name: string }[];
    readonly security: readonly Readonly<Record<string, readonly string[]>>[];
    readonly responses: Readonly<Record<string, { readonly description: string; readonly headers: object }>>;
  }
  interface Document {
    readonly info: { readonly description: string };
    readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  }
  const described = async () => (await (await call("GET", "/openapi.json")).json()) as Document;

  it("says of every row of the table its scope, its version and what may be refused before the route", async () => {
    const { paths } = await described();
    for (const [name, { scope, browser }] of Object.entries(ACCESS)) {
      const [method = "", path = ""] = name.split(" ");
      if (!path.startsWith("/v1/")) continue; // MCP describes itself
      const operation = paths[path]?.[method.toLowerCase()];
      if (operation === undefined) throw new Error(`${name} is not described`);
      const tokens = browser === "never" ? [] : [{ browserToken: [scope] }];
      expect(operation.security, name).toEqual([{ apiKey: [scope] }, ...tokens]);
      expect(operation.parameters.map((parameter) => parameter.name)).toContain("Turboclip-Version");
      const codes = Object.values(operation.responses).flatMap(({ description }) => description.split(", "));
      expect(codes, name).toEqual(
        expect.arrayContaining(["unauthenticated", "key_revoked", "key_expired", "scope_missing", "rate_limited"]),
      );
      expect(codes.includes("origin_not_allowed"), name).toBe(browser !== "never");
      expect(operation.responses["429"]?.headers).toHaveProperty("retry-after");
      for (const { headers } of Object.values(operation.responses)) expect(headers).toHaveProperty("ratelimit");
    }
  });

  it("states the limits of headers, bodies, prompts and lists", async () => {
    const { description } = (await described()).info;
    for (const limit of [LIMITS.headerBytes, LIMITS.bodyBytes, LIMITS.promptCharacters, LIMITS.page.max]) {
      expect(description).toContain(String(limit));
    }
  });
});

describe("Turboclip-Version", () => {
  it("is told with every answer, and may be left out", async () => {
    const { key } = await newTenant();
    for (const headers of [{}, { "turboclip-version": API_VERSIONS[0] }]) {
      const answer = await call("GET", "/v1/models", { token: key, headers });
      await answer.text();
      expect([answer.status, answer.headers.get("turboclip-version")]).toEqual([200, "2026-11-01"]);
    }
    const refused = await call("GET", "/v1/models");
    expect(refused.headers.get("turboclip-version")).toBe("2026-11-01");
    await expectProblem(refused, "unauthenticated");
  });

  it.each(["2026-11-02", "1", "latest", "2026-11-01 "])(
    "is answered or refused by its exact date: %j",
    async (version) => {
      const { key } = await newTenant();
      const answer = await call("GET", "/v1/models", { token: key, headers: { "turboclip-version": version } });
      if (version.trim() === API_VERSIONS[0]) {
        // Surrounding space is not part of a header's value (RFC 9110, section 5.5).
        expect(answer.status).toBe(200);
        await answer.text();
      } else {
        expect(await expectProblem(answer, "api_version_unknown")).toContain("2026-11-01");
      }
    },
  );
});

describe("headers", () => {
  it("are refused as headers_too_large beyond the limit, before anything is looked up", async () => {
    const { key } = await newTenant();
    const padded = (bytes: number) =>
      call("GET", "/v1/models", { token: key, headers: { "x-padding": "x".repeat(bytes) } });
    const fits = await padded(LIMITS.headerBytes - 1_000);
    await fits.text();
    expect(fits.status).toBe(200);
    expect(await expectProblem(await padded(LIMITS.headerBytes), "headers_too_large")).toContain("16384");
  });
});
