import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import {
  type Clip,
  type ClipBatch,
  clipBatchSchema,
  clipSchema,
  createClipSchema,
} from "../../../shared/contract/clips.ts";
import { isTerminal } from "../../../shared/states.ts";
import type { EdgeApp } from "../../context.ts";
import { createClip } from "../../services/clips/create.ts";
import { awaitClip } from "../../services/clips/watch.ts";
import { preferenceApplied, preferenceHeader, preferHeader, wantedWait } from "../prefer.ts";
import { BEARER, idempotencyKey, json, jsonBody, ORDER_REFUSALS, problems } from "../responses.ts";

const created = z.union([clipSchema, clipBatchSchema]);

const route = createRoute({
  method: "post",
  path: "/v1/clips",
  operationId: "createClip",
  summary: "Order a clip, or several",
  description:
    "Holds the price of each clip and queues it. What is held is charged once if the clip succeeds, and never otherwise. " +
    "With `n` all clips are ordered or none is, and the answer is a list.",
  security: BEARER,
  request: {
    ...jsonBody(createClipSchema),
    headers: z.object({ "idempotency-key": idempotencyKey, prefer: preferHeader }),
  },
  responses: {
    200: {
      ...json(created, "With `Prefer: wait`: the clip has ended, or all of them have"),
      headers: preferenceHeader,
    },
    202: {
      ...json(created, "The clip is queued; Location is where to watch it. With `n` a list, and no Location"),
      headers: preferenceHeader.extend({
        location: z.string().optional(),
        "idempotent-replayed": z.literal("true").optional(),
      }),
    },
    ...problems(...ORDER_REFUSALS),
  },
});

export function registerCreateClip(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { "idempotency-key": key = null, prefer } = c.req.valid("header");
    const ports = c.get("ports");
    const caller = c.get("caller");
    const { answer, replayed } = await createClip(ports, caller, c.req.valid("json"), key);
    const order = JSON.parse(answer) as Clip | ClipBatch; // written again, it has the same bytes
    const headers = {
      ...("id" in order && { location: `/v1/clips/${order.id}` }),
      ...(replayed && { "idempotent-replayed": "true" as const }),
    };
    const waitS = wantedWait(prefer);
    if (waitS === null) return c.json(order, 202, headers);
    const wait = async ({ id }: Clip) => await awaitClip(ports, caller.accountId, id, waitS * 1_000);
    const waited = "id" in order ? await wait(order) : { ...order, data: await Promise.all(order.data.map(wait)) };
    const ended = ("id" in waited ? [waited] : waited.data).every(({ state }) => isTerminal(state));
    return c.json(waited, ended ? 200 : 202, { ...headers, ...preferenceApplied(waitS) });
  });
}
