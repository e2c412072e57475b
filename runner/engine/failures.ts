// What goes wrong inside the engine process, as a failure that the edge understands: a code of the error
// table, a sentence, and whether another attempt can help.
import { MediaError } from "../media/ffmpeg.ts";
import type { Failure } from "./protocol.ts";

/**
 * Codes of native/engine/error.h that will come again with the same files and request. Everything else (memory,
 * reading, the unexpected) may pass.
 */
const LASTING_CODES = new Set([
  "file_missing",
  "file_truncated",
  "format_invalid",
  "pickle_refused",
  "tensor_missing",
  "tensor_shape",
  "architecture_unknown",
  "request_invalid",
]);

/** A file that will not do, whoever tries it. */
export class EngineFileError extends Error {
  readonly code = "format_invalid";
}

const MAX_MESSAGE = 1_000;

/** The native error's code, if it carries one. */
export function nativeCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** Whether the work was stopped because somebody asked for it. */
export function isCancellation(error: unknown): boolean {
  return nativeCode(error) === "cancelled" || (error instanceof MediaError && error.kind === "aborted");
}

/** Whether only another process can use the card again. */
export function isDeviceLost(error: unknown): error is Error {
  return nativeCode(error) === "device_lost";
}

export function toFailure(error: unknown): Failure {
  const message = (error instanceof Error ? error.message : String(error)).slice(0, MAX_MESSAGE);
  const code = nativeCode(error);
  return { code: "engine_failed", message, retryable: code === undefined || !LASTING_CODES.has(code) };
}
