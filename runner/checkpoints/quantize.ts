// `turboclip-runner quantize IN OUT`: makes the INT8 twin of a transformer's checkpoint. What it did goes to
// standard output, everything else to standard error.
import { stat } from "node:fs/promises";
import { defineCommand } from "citty";
import { EngineError } from "../../native/addon.ts";
import { quantizeCheckpoint } from "../../native/quantize.ts";
import { CommandCancelled, CommandError, refuseUnknownOptions, UsageError } from "../errors.ts";
import { fail } from "../fail.ts";
import { stopSignals } from "../signals.ts";

const ARGUMENTS = {
  input: { type: "positional", required: false, description: "The transformer, .pth or .safetensors", valueHint: "IN" },
  output: { type: "positional", required: false, description: "The .pth to write", valueHint: "OUT" },
  replace: { type: "boolean", description: "Replace OUT if it is there" },
} as const;

interface Arguments {
  readonly input?: string | undefined;
  readonly output?: string | undefined;
  readonly replace?: boolean | undefined;
  readonly _: readonly string[];
}

function checkArguments(args: Arguments): { input: string; output: string; replace: boolean } {
  refuseUnknownOptions("quantize", args, Object.keys(ARGUMENTS));
  const { input, output, replace = false } = args;
  if (!input || !output || args._.length !== 2) {
    throw new UsageError(
      "give two files: quantize IN OUT, such as TurboWan2.1-T2V-1.3B-480P.pth TurboWan2.1-T2V-1.3B-480P-quant.pth",
    );
  }
  return { input, output, replace };
}

/** Rewrites one line of a terminal; says nothing elsewhere. */
function showProgress(fraction: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[Kquantising ${Math.floor(100 * fraction)} %`);
}

function toCommandError(error: unknown): unknown {
  if (!(error instanceof Error && "code" in error)) return error;
  if (error instanceof EngineError) return new CommandError(error.message);
  if (error.code === "cancelled") return new CommandCancelled("stopped; nothing was written");
  if (error.code === "internal") return error;
  return error.code === "request_invalid" ? new UsageError(error.message) : new CommandError(error.message);
}

async function megabytes(path: string): Promise<string> {
  const { size } = await stat(path);
  return `${(size / 1e6).toFixed(1)} MB`;
}

async function quantizeAsAsked(args: Arguments): Promise<string> {
  const { input, output, replace } = checkArguments(args);
  try {
    await quantizeCheckpoint(input, output, { replace, onProgress: showProgress, signal: stopSignals().first });
  } catch (error) {
    throw toCommandError(error);
  } finally {
    if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
  }
  return `${output} (${await megabytes(output)}), from ${input} (${await megabytes(input)})`;
}

export const quantize = defineCommand({
  meta: { name: "quantize", description: "Write a transformer's checkpoint with INT8 weights" },
  args: ARGUMENTS,
  async run({ args }) {
    try {
      process.stdout.write(`${await quantizeAsAsked(args)}\n`);
    } catch (error) {
      fail(error);
    }
  },
});
