// Names looked up by DNS over HTTPS, and what is read of a stranger's answer.
import { afterEach, expect, it, vi } from "vitest";
import { dnsOverHttps, outbound } from "../../../edge/platform/outbound.ts";
import { checkTarget } from "../../../edge/services/webhooks/guard.ts";

afterEach(() => {
  vi.unstubAllGlobals();
});

const SOURCE = { resolver: dnsOverHttps, trustedHosts: new Set<string>(), publicOrigin: "https://clips.example" };
const A = 1;
const CNAME = 5;
const AAAA = 28;
type Answer = object | Response | (() => Promise<Response>);

/** The resolver's answers by the type of the record; what it was asked. */
function resolver(answers: { readonly A: Answer; readonly AAAA: Answer }): Request[] {
  const asked: Request[] = [];
  vi.stubGlobal("fetch", async (input: RequestInfo | URL, init?: RequestInit) => {
    const request = new Request(input, init);
    asked.push(request);
    const answer = answers[new URL(request.url).searchParams.get("type") as keyof typeof answers];
    if (typeof answer === "function") return await (answer as () => Promise<Response>)();
    return answer instanceof Response ? answer : Response.json(answer);
  });
  return asked;
}

const found = (...records: readonly (readonly [type: number, data: string])[]) => ({
  Status: 0,
  Answer: records.map(([type, data]) => ({ name: "hooks.example.com", type, TTL: 60, data })),
});
const NONE = { Status: 0 };

it("asks for both kinds of address, and takes them past the names that lead there", async () => {
  const asked = resolver({
    A: found([CNAME, "edge.example.net."], [A, "93.184.215.14"], [A, "93.184.215.15"]),
    AAAA: found([CNAME, "edge.example.net."], [AAAA, "2606:2800:21f:cb07::1"]),
  });
  expect(await dnsOverHttps.resolve("hooks.example.com")).toEqual([
    "93.184.215.14",
    "93.184.215.15",
    "2606:2800:21f:cb07::1",
  ]);
  for (const { url, headers } of asked) {
    expect(url).toMatch(/^https:\/\/cloudflare-dns\.com\/dns-query\?name=hooks\.example\.com&type=/);
    expect(headers.get("accept")).toBe("application/dns-json");
  }
});

it("has no address where there is none", async () => {
  resolver({ A: NONE, AAAA: NONE });
  expect(await dnsOverHttps.resolve("hooks.example.com")).toEqual([]);
});

const GOOD = found([A, "93.184.215.14"]);
it.each<[string, { readonly A: Answer; readonly AAAA: Answer }]>([
  ["a name that does not exist", { A: { Status: 3 }, AAAA: { Status: 3 } }],
  ["a server that fails for one kind only", { A: GOOD, AAAA: { Status: 2 } }],
  ["a resolver that is down", { A: GOOD, AAAA: new Response("bad gateway", { status: 502 }) }],
  ["an answer that is not JSON", { A: GOOD, AAAA: new Response("<html>") }],
  ["an answer of another form", { A: GOOD, AAAA: { Answer: [] } }],
  ["no answer in time", { A: GOOD, AAAA: () => Promise.reject(new DOMException("", "TimeoutError")) }],
])("does not take half of the truth: %s", async (_, answers) => {
  resolver(answers);
  await expect(dnsOverHttps.resolve("hooks.example.com")).rejects.toThrow();
  const checked = checkTarget(SOURCE, "https://hooks.example.com/", "/url");
  await expect(checked).rejects.toMatchObject({ code: "invalid_request" });
});

it.each(["10.0.0.1", "169.254.169.254"])(
  "lets nothing go to a name of which one address is private (%s)",
  async (data) => {
    resolver({ A: found([A, "93.184.215.14"], [A, data]), AAAA: found([AAAA, "2606:2800:21f:cb07::1"]) });
    const checked = checkTarget(SOURCE, "https://hooks.example.com/", "/url");
    await expect(checked).rejects.toThrow("private address");
  },
);

function server(answer: () => Response): Request[] {
  return resolver({
    get A() {
      return answer();
    },
    get AAAA() {
      return answer();
    },
  });
}

async function post(answerBytes = 8) {
  const request = { url: "https://hooks.example.com/?type=A", headers: { "webhook-id": "1" }, body: "{}" };
  return await outbound.post({ ...request, timeoutMs: 1_000, answerBytes });
}

it("posts once, follows no redirect, and says what was answered", async () => {
  const asked = server(() => new Response(null, { status: 307, headers: { location: "http://169.254.169.254/" } }));
  expect(await post()).toEqual({ status: 307, retryAfter: null, body: "" });
  expect(asked).toHaveLength(1);
  expect(asked[0]).toMatchObject({ method: "POST", redirect: "manual" });
});

it("reads no more of the answer than it may, and stops the server that goes on", async () => {
  let stopped = false;
  const endless = () =>
    new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("0123456")),
      cancel: () => {
        stopped = true;
      },
    });
  server(() => new Response(endless(), { status: 200, headers: { "retry-after": "7" } }));
  expect(await post()).toEqual({ status: 200, retryAfter: "7", body: "01234560" });
  await vi.waitFor(() => expect(stopped).toBe(true));
});

it("takes an answer that is no text for what it is", async () => {
  server(() => new Response(new Uint8Array([0xff, 0x41, 0xe2, 0x82]), { status: 200 }));
  expect((await post()).body).toMatch(/^\ufffdA/);
});
