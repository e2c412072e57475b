// About the service itself: whether it is up and ready, its metrics, and its OpenAPI document.
import type { EdgeApp } from "../context.ts";
import { requireScraper } from "../middleware/authentication.ts";
import { describeApi } from "../openapi.ts";
import { OPENMETRICS_TYPE } from "../services/operator/exposition.ts";
import { readMetrics } from "../services/operator/metrics.ts";
import { checkReadiness } from "../services/operator/readiness.ts";
import { NO_STORE } from "./responses.ts";

export function registerService(app: EdgeApp): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "apiKey", {
    type: "http",
    scheme: "bearer",
    description: "An API key: tc_live_... The scope that it needs stands with each route.",
  });
  app.openAPIRegistry.registerComponent("securitySchemes", "browserToken", {
    type: "http",
    scheme: "bearer",
    description: "A browser token: tc_web_..., from a page of one of its origins",
  });
  // Answering at all means that the settings are complete: they are read before every route.
  app.get("/healthz", (c) => c.json({ status: "ok" }));
  app.get("/readyz", async (c) => {
    const { ready, checks } = await checkReadiness(c.get("ports"));
    return c.json({ status: ready ? "ready" : "not_ready", checks }, ready ? 200 : 503, NO_STORE);
  });
  app.get("/metrics", requireScraper, async (c) =>
    c.body(await readMetrics(c.get("ports")), 200, { "content-type": OPENMETRICS_TYPE, ...NO_STORE }),
  );
  app.get("/openapi.json", (c) => c.json(describeApi(app, c.get("settings").PUBLIC_ORIGIN)));
}
