// The OpenAPI document, made from the routes and their schemas. A deployment serves it, and docs/openapi.json
// is a copy of it.
import type { EdgeApp } from "./context.ts";

const DOCUMENT = {
  openapi: "3.1.0",
  info: {
    title: "turboclip",
    version: "1",
    description: "Text to video, paid by the clip. Amounts are integer micro-dollars, times RFC 3339.",
    license: { name: "Apache-2.0", identifier: "Apache-2.0" },
  },
};

/** origin: where the API is served, like https://api.example.com. */
export function describeApi(app: EdgeApp, origin: string) {
  return app.getOpenAPI31Document({ ...DOCUMENT, servers: [{ url: origin }] });
}
