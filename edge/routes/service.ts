// About the service itself: whether it is up, and its OpenAPI document.
import type { EdgeApp } from "../context.ts";

const DOCUMENT = {
  openapi: "3.1.0",
  info: {
    title: "turboclip",
    version: "1",
    description: "Text to video, paid by the clip. Amounts are integer micro-dollars, times RFC 3339.",
    license: { name: "Apache-2.0", identifier: "Apache-2.0" },
  },
};

export function registerService(app: EdgeApp): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "apiKey", {
    type: "http",
    scheme: "bearer",
    description: "An API key: tc_live_...",
  });
  // Answering at all means that the settings are complete: they are read before every route.
  app.get("/healthz", (c) => c.json({ status: "ok" }));
  app.get("/openapi.json", (c) =>
    c.json(app.getOpenAPI31Document({ ...DOCUMENT, servers: [{ url: c.get("settings").PUBLIC_ORIGIN }] })),
  );
}
