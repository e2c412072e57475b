// Reads a request's body before anything parses it, and no further than the limit: a declared length may be
// missing or wrong, so the bytes themselves are counted.
import { createMiddleware } from "hono/factory";
import { CHAT_LIMITS } from "../../shared/contract/chats.ts";
import { LIMITS } from "../../shared/contract/clips.ts";
import { TRIGGER_LIMITS } from "../../shared/contract/triggers.ts";
import { ApiError } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import { STRIPE_WEBHOOK_PATH } from "../integrations/stripe/endpoint.ts";

function tooLarge(limit: number): ApiError {
  return new ApiError("body_too_large", `A request body has at most ${limit} bytes here.`);
}

/** An event has at most one object of Stripe's in it, with what of it was changed. */
const STRIPE_EVENT_BYTES = 256 * 1024;

/** Other systems post what they have, not what we asked for. */
function limitOf(path: string): number {
  if (path === STRIPE_WEBHOOK_PATH) return STRIPE_EVENT_BYTES;
  if (path.startsWith("/t/")) return TRIGGER_LIMITS.bodyBytes;
  return path.startsWith("/integrations/") ? CHAT_LIMITS.bodyBytes : LIMITS.bodyBytes;
}

/**
 * A client that is still sending when its connection closes never reads why, so what is too much is read
 * and dropped up to here.
 */
const DRAINED_BYTES = 32 * 1024 * 1024;

async function readAtMost(body: ReadableStream<Uint8Array>, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
    else if (size > DRAINED_BYTES) break; // which cancels the stream
  }
  if (size > limit) throw tooLarge(limit);
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

export const limitBody = createMiddleware<EdgeEnv>(async (context, next) => {
  const { raw } = context.req;
  if (raw.body !== null && raw.method !== "GET" && raw.method !== "HEAD") {
    const bytes = await readAtMost(raw.body, limitOf(context.req.path));
    // A form may carry a file; whoever takes its fields looks at them.
    if (!isForm(raw)) refuseBrokenText(bytes);
    const { method } = raw;
    context.req.raw = new Request(raw, { method, body: bytes.length === 0 ? null : bytes });
  }
  await next();
});

function isForm({ headers }: Request): boolean {
  return /^multipart\/form-data\b/i.test(headers.get("content-type") ?? "");
}

/** All our bodies are text, so UTF-8; decoding leniently would change a prompt without a word. */
export function refuseBrokenText(bytes: Uint8Array | ArrayBuffer): void {
  try {
    new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    throw new ApiError("invalid_request", "The body is not valid UTF-8.");
  }
}
