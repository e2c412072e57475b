// What a runner says about an attempt that it holds. The token in the path fences (clip, attempt).
import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import * as z from "zod";
import {
  attemptEndReplySchema,
  completeRequestSchema,
  failRequestSchema,
  heartbeatReplySchema,
  heartbeatRequestSchema,
  uploadReplySchema,
  uploadRequestSchema,
} from "../../../shared/contract/runner.ts";
import type { EdgeApp, EdgeEnv } from "../../context.ts";
import type { AttemptRef } from "../../services/leases/attempt.ts";
import { completeAttempt } from "../../services/leases/complete.ts";
import { failAttempt } from "../../services/leases/fail.ts";
import { heartbeat } from "../../services/leases/heartbeat.ts";
import { releaseAttempt } from "../../services/leases/release.ts";
import { signUpload } from "../../services/leases/upload.ts";
import { json, jsonBody, problems } from "../responses.ts";

const params = z.object({ token: z.string().regex(/^[0-9A-Za-z]{1,64}$/) });
const refusals = problems("unauthenticated", "invalid_request", "lease_lost", "upload_missing", "upload_rejected");

function attemptRoute<B extends z.ZodType, R extends z.ZodType, A extends string>(action: A, body: B, reply: R) {
  return createRoute({
    method: "post",
    path: `/runner/v1/attempts/{token}/${action}`,
    hide: true,
    request: { params, ...jsonBody(body) },
    responses: { 200: json(reply, "Done"), ...refusals },
  });
}

const heartbeatRoute = attemptRoute("heartbeat", heartbeatRequestSchema, heartbeatReplySchema);
const uploadsRoute = attemptRoute("uploads", uploadRequestSchema, uploadReplySchema);
const completeRoute = attemptRoute("complete", completeRequestSchema, attemptEndReplySchema);
const failRoute = attemptRoute("fail", failRequestSchema, attemptEndReplySchema);
const releaseRoute = createRoute({
  method: "post",
  path: "/runner/v1/attempts/{token}/release",
  hide: true,
  request: { params },
  responses: { 200: json(attemptEndReplySchema, "Done"), ...refusals },
});

function attempt(c: Context<EdgeEnv>, token: string): AttemptRef {
  const onFound: AttemptRef["onFound"] = ({ id, attempt: number }) => c.set("about", { clip: id, attempt: number });
  return { runnerId: c.get("runner").id, token, onFound };
}

export function registerAttempts(app: EdgeApp): void {
  app.openapi(heartbeatRoute, async (c) => {
    const ref = attempt(c, c.req.valid("param").token);
    const reply = await heartbeat(c.get("ports"), ref, c.req.valid("json"));
    return c.json({ ...reply, drain: c.get("runner").drained }, 200);
  });
  app.openapi(uploadsRoute, async (c) => {
    const ref = attempt(c, c.req.valid("param").token);
    return c.json(await signUpload(c.get("ports"), ref, c.req.valid("json")), 200);
  });
  app.openapi(completeRoute, async (c) => {
    const ref = attempt(c, c.req.valid("param").token);
    return c.json(await completeAttempt(c.get("ports"), ref, c.req.valid("json")), 200);
  });
  app.openapi(failRoute, async (c) => {
    const ref = attempt(c, c.req.valid("param").token);
    return c.json(await failAttempt(c.get("ports"), ref, c.req.valid("json")), 200);
  });
  app.openapi(releaseRoute, async (c) => {
    const ref = attempt(c, c.req.valid("param").token);
    return c.json(await releaseAttempt(c.get("ports"), ref), 200);
  });
}
