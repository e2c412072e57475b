// About the service itself: whether it is up, and its OpenAPI document.
import type { EdgeApp } from "../context.ts";
import { describeApi } from "../openapi.ts";

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
  app.get("/openapi.json", (c) => c.json(describeApi(app, c.get("settings").PUBLIC_ORIGIN)));
}
