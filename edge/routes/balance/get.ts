import { createRoute } from "@hono/zod-openapi";
import { balanceSchema } from "../../../shared/contract/balance.ts";
import type { EdgeApp } from "../../context.ts";
import { getBalance } from "../../services/money/balance.ts";
import { BEARER, json, problems } from "../responses.ts";

const route = createRoute({
  method: "get",
  path: "/v1/balance",
  operationId: "getBalance",
  summary: "What the account can spend",
  security: BEARER,
  responses: {
    200: json(balanceSchema, "Integer micro-dollars"),
    ...problems(),
  },
});

export function registerGetBalance(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const balance = await getBalance(c.get("ports"), c.get("caller").accountId);
    return c.json(balance, 200, { "cache-control": "no-store" });
  });
}
