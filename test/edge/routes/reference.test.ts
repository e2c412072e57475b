import { exports } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import type { Document } from "../../../edge/reference/document.ts";
import { renderReference } from "../../../edge/reference/page.ts";
import { call, ORIGIN } from "../support/http.ts";
import { freshDeployment } from "../support/world.ts";

beforeEach(freshDeployment);

const text = async (path: string) => await (await call("GET", path)).text();
const all = (page: string, pattern: RegExp) => [...page.matchAll(pattern)].map(([, found]) => found ?? "");

it("is where the origin itself leads to", async () => {
  const answer = await exports.default.fetch(new Request(`${ORIGIN}/`, { redirect: "manual" }));
  expect([answer.status, answer.headers.get("location")]).toEqual([302, "/docs"]);
  await answer.text();
});

describe("GET /docs", () => {
  it("shows every operation and every schema of the document, and links to nothing that is not there", async () => {
    const page = await text("/docs");
    const document = JSON.parse(await text("/openapi.json")) as Document;
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    const names = [
      ...operations.map(({ operationId }) => operationId),
      ...Object.keys(document.components.schemas).map((name) => `schema-${name}`),
    ];
    expect(all(page, /<section id="([^"]+)"/g).toSorted()).toEqual(names.toSorted());
    expect(all(page, /href="#([^"]+)"/g).filter((target) => !names.includes(target))).toEqual([]);
    expect(all(page, /(?:href|src)="([^#"][^"]*)"/g)).toEqual(["/openapi.json"]);
  });

  it("groups the operations by what they are about, clips first, and names each once", async () => {
    const page = await text("/docs");
    const nav = page.slice(page.indexOf("<nav>"), page.indexOf("</nav>"));
    const groups = all(nav, /<h2>([^<]*)<\/h2>/g);
    expect([groups[0], groups.at(-1)]).toEqual(["Clips", "Schemas"]);
    const [first] = all(nav, /<a href="#([^"]+)"/g);
    expect(first).toBe("createClip");
    const links = all(nav, /<a href="#([^"]+)"/g);
    expect(new Set(links).size).toBe(links.length);
    const document = JSON.parse(await text("/openapi.json")) as Document;
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    expect(links.filter((link) => !link.startsWith("schema-"))).toHaveLength(operations.length);
  });

  it("gives a curl line for each operation, with the key only where one is needed", async () => {
    const commands = all(await text("/docs"), /<pre>(curl[^<]*)<\/pre>/g);
    const create = commands.find((command) => command.includes("POST &#39;https://clips.test/v1/clips&#39;"));
    expect(create).toContain("Bearer $TURBOCLIP_API_KEY");
    expect(create).toContain("&quot;model&quot;:&quot;turboclip-demo&quot;");
    expect(commands.find((command) => command.includes("/v1/files/"))).not.toContain("Bearer");
  });

  it("is sent with a policy that lets it load and run nothing but its own style and search", async () => {
    const [one, two] = [await call("GET", "/docs"), await call("GET", "/docs")];
    const policy = one.headers.get("content-security-policy") ?? "";
    const [nonce = ""] = all(policy, /'nonce-([^']+)'/g);
    const page = await one.text();
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain("unsafe");
    expect(all(page, /<(?:script|style)([^>]*)>/g)).toEqual([` nonce="${nonce}"`, ` nonce="${nonce}"`]);
    expect(page).not.toMatch(/ (?:style|on\w+)="/);
    expect(two.headers.get("content-security-policy")).not.toBe(policy);
    await two.text();
  });

  it("escapes what the document says", async () => {
    const document = JSON.parse(await text("/openapi.json")) as Document;
    const hostile = { ...document, info: { ...document.info, title: '"><script>alert(1)</script>' } };
    const page = await renderReference(hostile, "nonce");
    expect(page).not.toContain("<script>alert");
    expect(page).toContain("&lt;script&gt;alert");
  });
});
