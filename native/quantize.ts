// Makes the INT8 twin of a transformer's checkpoint, off the JavaScript thread.
import { openAddon } from "./addon.ts";

export interface QuantizeOptions {
  /** Whether a file that is in the way is replaced; otherwise it is an error. */
  readonly replace: boolean;
  /** Called with the fraction that is done. */
  readonly onProgress: (fraction: number) => void;
  /** Aborted: stops within a tensor, rejects with code `cancelled` and leaves nothing. */
  readonly signal: AbortSignal;
}

interface QuantizeAddon {
  quantize(
    files: { readonly input: string; readonly output: string; readonly existing: "replace" | "refuse" },
    onProgress: (fraction: number) => void,
  ): { readonly done: Promise<void>; cancel(): void };
}

/** Reads `input` and writes `output`, whole or not at all. Rejects with the addon's `code`s. */
export async function quantizeCheckpoint(input: string, output: string, options: QuantizeOptions): Promise<void> {
  const existing = options.replace ? "replace" : "refuse";
  const running = openAddon<QuantizeAddon>().quantize({ input, output, existing }, options.onProgress);
  const { signal } = options;
  const stop = () => running.cancel();
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  // A process that exits waits for its threads.
  process.once("exit", stop);
  try {
    await running.done;
  } finally {
    signal.removeEventListener("abort", stop);
    process.off("exit", stop);
  }
}
