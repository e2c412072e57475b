// The double behind a socket of this machine, for tests of the whole system.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { DiscordDouble } from "./double.ts";

export interface DiscordServer {
  readonly discord: DiscordDouble;
  /** What the edge must be told to take it for Discord. */
  readonly settings: Readonly<Record<string, string>>;
  close(): void;
}

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

export async function startDiscord(): Promise<DiscordServer> {
  const discord = await DiscordDouble.open();
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    try {
      const response = await discord.handle(await toRequest(incoming));
      outgoing.writeHead(response.status, Object.fromEntries(response.headers)).end(await response.text());
    } catch {
      incoming.socket.resetAndDestroy(); // a fault that gives no answer
    }
  };
  const server = createServer((incoming, outgoing) => void answer(incoming, outgoing)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    discord,
    settings: {
      DISCORD_APPLICATION_ID: discord.applicationId,
      DISCORD_PUBLIC_KEY: discord.publicKey,
      DISCORD_BOT_TOKEN: discord.botToken,
      DISCORD_API_URL: `http://127.0.0.1:${port}/api/v10`,
    },
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
