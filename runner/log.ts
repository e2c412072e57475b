// Structured logs: one JSON object a line, with runner, clip and attempt ids. Prompts, tokens and signed URLs
// never go in.
import { pino } from "pino";

/** The part of pino that we use, so that tests can listen. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  error(message: string): void;
  child(fields: object): Logger;
}

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** Lines go to standard output at once, so that the last ones before a crash are there. */
export function makeLogger(level: (typeof LOG_LEVELS)[number], fields: object): Logger {
  return pino(
    { level, base: fields, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 1, sync: true }),
  );
}
