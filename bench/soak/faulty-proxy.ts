// A network that loses things: an HTTP proxy in front of the edge that drops requests, drops answers, delays and
// duplicates, as its random numbers say.
import { once } from "node:events";
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";

export const NETWORK_FAULTS = ["request dropped", "answer dropped", "delayed", "duplicated"] as const;
export type NetworkFault = (typeof NETWORK_FAULTS)[number];

export interface FaultyProxy {
  readonly origin: string;
  /** Faults so far. */
  readonly faults: Readonly<Record<NetworkFault, number>>;
  close(): Promise<void>;
}

export interface FaultyProxyOptions {
  /** Where requests go. */
  readonly target: string;
  /** Share of the requests that meet some fault. */
  readonly share: number;
  /** Longest delay, in milliseconds. */
  readonly delayMs: number;
  /** In [0, 1). */
  readonly random: () => number;
}

interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Buffer;
}

async function forward(target: URL, incoming: IncomingMessage, body: Buffer): Promise<Answer> {
  const outgoing = request(new URL(incoming.url ?? "/", target), {
    method: incoming.method,
    headers: { ...incoming.headers, host: target.host },
  });
  outgoing.end(body);
  const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
  return { status: answer.statusCode ?? 502, headers: answer.headers, body: await buffer(answer) };
}

export async function startFaultyProxy(options: FaultyProxyOptions): Promise<FaultyProxy> {
  const { share, delayMs, random } = options;
  const target = new URL(options.target);
  const faults: Record<NetworkFault, number> = {
    "request dropped": 0,
    "answer dropped": 0,
    delayed: 0,
    duplicated: 0,
  };
  const draw = (): NetworkFault | undefined => {
    const fault = random() < share ? NETWORK_FAULTS[Math.floor(random() * NETWORK_FAULTS.length)] : undefined;
    if (fault !== undefined) faults[fault] += 1;
    return fault;
  };
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const body = await buffer(incoming);
    const fault = draw();
    if (fault === "request dropped") return void outgoing.destroy();
    if (fault === "delayed") await delay(random() * delayMs);
    if (fault === "duplicated") await forward(target, incoming, body);
    const answer = await forward(target, incoming, body);
    if (fault === "answer dropped") return void outgoing.destroy();
    const { "transfer-encoding": _, ...headers } = answer.headers;
    outgoing.writeHead(answer.status, { ...headers, "content-length": answer.body.length }).end(answer.body);
  };
  const server = createServer((incoming, outgoing) => {
    // The target is down, or the caller went away: either way this connection is lost.
    serve(incoming, outgoing).catch(() => outgoing.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faults,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
