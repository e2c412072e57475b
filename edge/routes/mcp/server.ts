// The tools: what each takes, and what it answers. A refusal is an answer too (`isError`), which the model reads and may
// act upon; its text begins with the code of our table.
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import * as z from "zod";
import { type Clip, createClipSchema, LIMITS } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import { idSchema } from "../../../shared/ids.ts";
import { MODELS } from "../../../shared/models.ts";
import { describeError, log } from "../../platform/log.ts";
import { createClip } from "../../services/clips/create.ts";
import { getClip } from "../../services/clips/get.ts";
import { percentOf } from "../../services/clips/percent.ts";
import { watchClip } from "../../services/clips/watch.ts";
import { requireScopeOf } from "../../services/keys/scope.ts";
import type { Bearer } from "../../services/keys/verify.ts";
import type { Ports } from "../../services/ports.ts";
import { idempotencyKey } from "../responses.ts";

const INSTRUCTIONS =
  "Makes short video clips from text. create_clip orders one and holds its price; wait_for_clip follows it until it has " +
  "ended, again if the time was too short; output.mp4.url is then the video, by a link that lasts an hour. A clip that " +
  "fails, is cancelled or expires costs nothing.";

const WAIT_S = { default: 30, max: 60 } as const;

const createInput = createClipSchema.omit({ n: true }).extend({
  model: createClipSchema.shape.model.meta({ description: `One of ${MODELS.map(({ id }) => id).join(", ")}` }),
  idempotency_key: idempotencyKey.meta({ description: "Makes the order safe to repeat: the same key, the same clip" }),
});
const clipId = idSchema("clip").meta({ description: "As create_clip answered it" });
const waitInput = z.strictObject({
  id: clipId,
  timeout_s: z.int().min(0).max(WAIT_S.max).default(WAIT_S.default).meta({ description: "Seconds to wait at most" }),
});

export interface McpCall {
  readonly ports: Ports;
  readonly caller: Bearer;
  readonly requestId: string;
}

export function createMcpServer(call: McpCall): McpServer {
  const { ports, caller } = call;
  const server = new McpServer({ name: "turboclip", version: ports.version }, { instructions: INSTRUCTIONS });
  server.registerTool(
    "create_clip",
    {
      title: "Order a video clip",
      description: `Orders a clip of a prompt of up to ${LIMITS.promptCharacters} characters. Its price is charged if it succeeds.`,
      inputSchema: createInput,
      annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false },
    },
    async ({ idempotency_key: key = null, ...order }) =>
      await answer(call, async () => {
        requireScopeOf(caller, "clips:write");
        return JSON.parse((await createClip(ports, caller, order, key)).answer) as Clip;
      }),
  );
  server.registerTool(
    "wait_for_clip",
    {
      title: "Wait for a clip",
      description: "Answers with the clip once it has ended, or as it is when the time is up; then wait again.",
      inputSchema: waitInput,
      annotations: { readOnlyHint: true, openWorldHint: false },
    },
    async ({ id, timeout_s: timeoutS }, { signal, _meta, sendNotification }) =>
      await answer(call, async () => {
        const untilMs = ports.clock.now() + timeoutS * 1_000;
        let last: Clip | undefined;
        let told = -1;
        for await (const clip of watchClip(ports, caller.accountId, id, { untilMs, signal })) {
          last = clip;
          const progress = percentOf(clip);
          // The protocol wants each number above the one before; an attempt that is lost begins again.
          if (_meta?.progressToken === undefined || progress <= told) continue;
          told = progress;
          const params = { progressToken: _meta.progressToken, progress, total: 100, message: clip.state };
          await sendNotification({ method: "notifications/progress", params });
        }
        if (last === undefined) throw new RangeError("a watched clip is seen at least once");
        return last;
      }),
  );
  server.registerTool(
    "get_clip",
    {
      title: "Look at a clip",
      description: "The clip as it stands: state, progress, place in the queue, and links once it has succeeded.",
      inputSchema: z.strictObject({ id: clipId }),
      annotations: { readOnlyHint: true, openWorldHint: false },
    },
    async ({ id }) => await answer(call, async () => await getClip(ports, caller.accountId, id)),
  );
  return server;
}

/** The SDK would answer any error with its message, and a failed query's has the prompt in it. */
async function answer({ requestId }: McpCall, work: () => Promise<Clip>): Promise<CallToolResult> {
  try {
    const clip = await work();
    return { content: [{ type: "text", text: JSON.stringify(clip) }], structuredContent: { ...clip } };
  } catch (error) {
    if (!(error instanceof ApiError)) {
      log("error", "tool failed", { request_id: requestId, error: describeError(error) });
    }
    const { code, message } =
      error instanceof ApiError ? error : new ApiError("internal", `Something went wrong on our side (${requestId}).`);
    return { isError: true, content: [{ type: "text", text: `${code}: ${message}` }] };
  }
}
