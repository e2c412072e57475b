import { createRoute } from "@hono/zod-openapi";
import { browserTokenSchema, createBrowserTokenSchema } from "../../../shared/contract/keys.ts";
import type { EdgeApp } from "../../context.ts";
import { issueBrowserToken } from "../../services/keys/browser-token.ts";
import { BEARER, json, jsonBody, NO_STORE, problems } from "../responses.ts";

const route = createRoute({
  method: "post",
  path: "/v1/browser-tokens",
  operationId: "createBrowserToken",
  summary: "Make a short-lived token for a web page",
  description:
    "For scripts of pages of the given origins, an hour at most. It orders clips for the calling key's account and sees " +
    "only those that were ordered with it. It ends with its key.",
  security: BEARER,
  request: jsonBody(createBrowserTokenSchema),
  responses: {
    201: json(browserTokenSchema, "The token, shown this once"),
    ...problems("invalid_request", "exceeds_own_key"),
  },
});

export function registerCreateBrowserToken(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const token = await issueBrowserToken(c.get("ports"), c.get("caller"), c.req.valid("json"));
    return c.json(token, 201, NO_STORE);
  });
}
