// GET /docs: the reference for people, of the document that /openapi.json is for programs.
import type { EdgeApp } from "../context.ts";
import { describeApi } from "../openapi.ts";
import type { Document } from "../reference/document.ts";
import { renderReference } from "../reference/page.ts";
import { base64 } from "../services/encoding.ts";

const NONCE_BYTES = 16;

export function registerReference(app: EdgeApp): void {
  // Whoever opens the origin in a browser.
  app.get("/", (c) => c.redirect("/docs"));
  app.get("/docs", async (c) => {
    const nonce = base64(crypto.getRandomValues(new Uint8Array(NONCE_BYTES)));
    const document = describeApi(app, c.get("settings").PUBLIC_ORIGIN) as unknown as Document;
    const policy = `default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
    return c.html(await renderReference(document, nonce), 200, {
      "content-security-policy": policy,
      "referrer-policy": "no-referrer",
    });
  });
}
