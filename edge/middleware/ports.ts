// Gives a request its ports. A deployment whose settings are missing or wrong answers nothing else.
import { createMiddleware } from "hono/factory";
import type { EdgeEnv } from "../context.ts";
import { remoteBell } from "../platform/objects.ts";
import { cloudflarePorts } from "../platform/ports.ts";
import { readSettings } from "../settings.ts";

export const providePorts = createMiddleware<EdgeEnv>(async (context, next) => {
  const settings = readSettings(context.env);
  context.set("settings", settings);
  context.set(
    "ports",
    cloudflarePorts(context.env, settings, remoteBell(context.env.DISPATCHER), context.get("requestId")),
  );
  await next();
});
