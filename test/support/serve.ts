// A double behind a socket of this machine, for tests of the whole system.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { FaultyDouble } from "./faults.ts";

async function toRequest(incoming: IncomingMessage): Promise<Request> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const headers = new Headers(incoming.headers as Record<string, string>);
  const { method = "GET", url = "/" } = incoming;
  return new Request(`http://127.0.0.1${url}`, {
    method,
    headers,
    ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
  });
}

export interface Served {
  readonly origin: string;
  readonly close: () => void;
}

export async function serve(double: FaultyDouble): Promise<Served> {
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    try {
      const response = await double.handle(await toRequest(incoming));
      outgoing.writeHead(response.status, Object.fromEntries(response.headers)).end(await response.text());
    } catch {
      incoming.socket.resetAndDestroy(); // a fault that gives no answer
    }
  };
  const server = createServer((incoming, outgoing) => void answer(incoming, outgoing)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
