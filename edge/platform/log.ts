// Structured logs: one JSON object a line. Never a key, a token, a signed URL or a prompt; so only what is
// named at the call goes in, and of an error only what our own code or the platform said.
import type { Log } from "../services/ports.ts";

export const log: Log = (level, message, fields = {}) => {
  console[level](JSON.stringify({ level, message, ...fields }));
};

/**
 * An error in words. A failed query's own message lists its parameters, prompts and hashes among them, so its
 * cause speaks instead.
 */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  if (error.message.startsWith("Failed query:")) {
    return error.cause instanceof Error ? `query failed: ${error.cause.message}` : "query failed";
  }
  return `${error.name}: ${error.message}`;
}
