import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import { clipSchema } from "../../../shared/contract/clips.ts";
import type { EdgeApp } from "../../context.ts";
import { getClip } from "../../services/clips/get.ts";
import { awaitClip } from "../../services/clips/watch.ts";
import { preferenceApplied, preferenceHeader, preferHeader, wantedWait } from "../prefer.ts";
import { BEARER, idParam, json, problems } from "../responses.ts";

const route = createRoute({
  method: "get",
  path: "/v1/clips/{id}",
  operationId: "getClip",
  summary: "A clip as it stands",
  description: "State, progress while it runs, and fresh download URLs once it has succeeded.",
  security: BEARER,
  request: { params: idParam("clip"), headers: z.object({ prefer: preferHeader }) },
  responses: {
    200: { ...json(clipSchema, "The clip"), headers: preferenceHeader },
    ...problems("unauthenticated", "key_revoked", "key_expired", "not_found"),
  },
});

export function registerGetClip(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { id } = c.req.valid("param");
    const { accountId } = c.get("caller");
    const waitS = wantedWait(c.req.valid("header").prefer);
    if (waitS === null) {
      return c.json(await getClip(c.get("ports"), accountId, id), 200, { "cache-control": "no-store" });
    }
    const clip = await awaitClip(c.get("ports"), accountId, id, waitS * 1_000);
    return c.json(clip, 200, { "cache-control": "no-store", ...preferenceApplied(waitS) });
  });
}
