// Opens the native addon. Everything it does is C++ (native/addon, native/engine).
import { createRequire } from "node:module";
import { join } from "node:path";

/** What the addon rejects with and the wrappers throw: `code` is stable, the message is for people. */
export class EngineError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "EngineError";
    this.code = code;
  }
}

export const ADDON_PATH = join(import.meta.dirname, "..", "build", "native", "addon", "turboclip.node");

/** The addon, of whose exports the caller states those that it uses. */
export function openAddon<Exports>(): Exports {
  try {
    return createRequire(import.meta.url)(ADDON_PATH);
  } catch (cause) {
    const [reason] = (cause instanceof Error ? cause.message : String(cause)).split("\n");
    throw new EngineError(
      "backend_unavailable",
      `the engine's addon does not load from ${ADDON_PATH}; build it with \`npm run build\` (${reason})`,
      { cause },
    );
  }
}
