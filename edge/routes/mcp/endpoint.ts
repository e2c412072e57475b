// The Model Context Protocol over streamable HTTP (https://modelcontextprotocol.io/specification/2025-11-25/basic/transports):
// tools for assistants over the services of /v1/clips. Without sessions: each request brings all that it needs, so any
// Worker answers any of them, and a stream lasts as long as its one call.
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import { LIMITS } from "../../../shared/contract/clips.ts";
import type { EdgeApp } from "../../context.ts";
import { createMcpServer } from "./server.ts";

export const MCP_PATH = "/mcp";

export function registerMcp(app: EdgeApp): void {
  app.post(MCP_PATH, async (c) => {
    const server = createMcpServer({ ports: c.get("ports"), caller: c.get("caller"), requestId: c.get("requestId") });
    const transport = new WebStandardStreamableHTTPServerTransport({ maxRequestBodySize: LIMITS.bodyBytes });
    await server.connect(transport);
    return await transport.handleRequest(c.req.raw);
  });
  // Nothing is ever sent unasked and there is no session to end, which clients learn by this status.
  app.all(MCP_PATH, (c) => {
    const error = { code: -32_000, message: "Send requests by POST; there are no sessions." };
    return c.json({ jsonrpc: "2.0", error, id: null }, 405, { allow: "POST" });
  });
}
