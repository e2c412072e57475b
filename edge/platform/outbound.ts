// Servers that are not ours: a bounded POST, and names looked up by DNS over HTTPS (RFC 8484's JSON form), since a
// Worker cannot ask what address its fetch will connect to.
import * as z from "zod";
import type { Outbound, Resolver } from "../services/ports.ts";

async function readStart(response: Response, limit: number): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let left = limit;
  try {
    while (left > 0) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value.subarray(0, left), { stream: true });
      left -= value.length;
    }
  } finally {
    // Not awaited: a server that keeps sending would hold us, and the connection is dropped all the same.
    reader.cancel().catch(() => undefined);
  }
  return text;
}

export const outbound: Outbound = {
  async post({ url, headers, body, timeoutMs, answerBytes }) {
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
    return {
      status: response.status,
      retryAfter: response.headers.get("retry-after"),
      body: await readStart(response, answerBytes),
    };
  },
};

const DNS_URL = "https://cloudflare-dns.com/dns-query";
const DNS_TIMEOUT_MS = 5_000;
/** IANA's numbers of the record types. */
const ADDRESS_TYPES = { A: 1, AAAA: 28 } as const;
const dnsAnswer = z.object({
  Status: z.int(),
  Answer: z.array(z.object({ type: z.int(), data: z.string() })).default([]),
});

async function lookUp(host: string, type: keyof typeof ADDRESS_TYPES): Promise<string[]> {
  const response = await fetch(`${DNS_URL}?${new URLSearchParams({ name: host, type }).toString()}`, {
    headers: { accept: "application/dns-json" },
    signal: AbortSignal.timeout(DNS_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`DNS over HTTPS answered ${response.status}`);
  const { Status: status, Answer: answer } = dnsAnswer.parse(await response.json());
  if (status !== 0) throw new Error(`DNS has no such name (code ${status})`);
  return answer.filter((record) => record.type === ADDRESS_TYPES[type]).map(({ data }) => data);
}

export const dnsOverHttps: Resolver = {
  resolve: async (host) => (await Promise.all([lookUp(host, "A"), lookUp(host, "AAAA")])).flat(),
};
