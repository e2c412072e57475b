// What the planner answers for the released models on cards of several sizes: no card and no weights are needed.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LargestClip } from "../native/index.ts";
import { type DevicePlan, planOnDevice } from "../native/plan.ts";
import type { Result, Row } from "./table.ts";
import { type TrueShape, writeTrueShapes } from "./true-shapes.ts";

const GIB = 2 ** 30;
const SIZES = { "480p": { width: 832, height: 480 }, "720p": { width: 1280, height: 720 } } as const;
const CARDS = [9, 10, 15, 31] as const;
const CASES: readonly (readonly [TrueShape, keyof typeof SIZES])[] = [
  ["1.3B", "480p"],
  ["1.3B", "720p"],
  ["14B", "480p"],
  ["14B", "720p"],
  ["A14B, one expert", "720p"],
];
/** umT5's layers but for its embedding table: 24 blocks of 4 x 4096^2 and 3 x 4096 x 10240 weights, and an INT8 scale for
 * each 128 x 128 of them. */
const TEXT_VALUES = 24 * (4 * 4096 ** 2 + 3 * 4096 * 10_240);
const TEXT_ENCODERS = {
  host: { weights: 0, scratch: 0 },
  INT8: { weights: TEXT_VALUES * (1 + 4 / 128 ** 2), scratch: 0 },
  bf16: { weights: TEXT_VALUES * 2, scratch: 0 },
} as const;

const BUILD = new URL("../build/native/", import.meta.url).pathname;
/** The planner is the same in either; the emulated one is where no nvcc is. */
const LIBRARIES = ["cuda/libturboclip_cuda.so", "test/cuda/emulator/libturboclip_cuda_emulated_library.so"] as const;

export function planningLibrary(): string {
  const found = LIBRARIES.map((path) => join(BUILD, path)).find(existsSync);
  if (found === undefined) throw new Error("no CUDA library is built, not even the tests' one: npm run build");
  return found;
}

export interface PlanCase {
  readonly shape: TrueShape;
  readonly size: keyof typeof SIZES;
  readonly decoder: LargestClip["decoder"];
  readonly textEncoder: keyof typeof TEXT_ENCODERS;
  readonly gib: number;
}

/** Plans in a folder that holds the sets' headers, and is removed. */
export function withPlanner<T>(use: (plan: (wanted: PlanCase) => DevicePlan) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "turboclip-plan-"));
  const cudaLibrary = planningLibrary();
  try {
    return use(({ shape, size, decoder, textEncoder, gib }) => {
      const paths = writeTrueShapes(join(folder, shape.replaceAll(/\W+/g, "-")), shape);
      const clip = { ...SIZES[size], frames: 81, attention: "sla", topkRatio: 0.1, decoder } as const;
      return planOnDevice(paths, clip, gib * GIB, { cudaLibrary }, TEXT_ENCODERS[textEncoder]);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const gib = (bytes: number) => (bytes / GIB).toFixed(2);

function describe(plan: DevicePlan): string {
  if (!plan.fits) return `does not fit; ${plan.remedy}`;
  const { layers, streamed, peak, transformer, decoders, textEncoder, denoise, decode, host } = plan;
  const blocks = streamed === 0 ? "all blocks on the card" : `${layers - streamed} of ${layers} blocks on the card`;
  const pinned = streamed === 0 ? "" : `, ${gib(host)} GiB pinned`;
  const text = textEncoder === 0 ? "" : ` + ${gib(textEncoder)}`;
  return (
    `peak ${gib(peak)} GiB: ${blocks}${pinned}; weights ${gib(transformer)} + ${gib(decoders)}${text}, ` +
    `steps ${gib(denoise)}, decode ${gib(decode)}`
  );
}

export async function memoryPlan(): Promise<Result> {
  const rows = withPlanner((plan) => {
    const made: Row[] = [];
    for (const [shape, size] of CASES) {
      for (const card of CARDS) {
        for (const [decoder, textEncoder] of [
          ["vae", "host"],
          ["vae", "INT8"],
          ["taehv", "INT8"],
        ] as const) {
          const answer = plan({ shape, size, decoder, textEncoder, gib: card });
          const what = `${shape}, ${size}, ${decoder}, text encoder ${textEncoder === "host" ? "on the host" : textEncoder}`;
          made.push({ what, measured: describe(answer), aim: `${card} GiB` });
        }
      }
    }
    return made;
  });
  return {
    title: "What fits on a card, by the planner",
    rows,
    notes: [
      "81 frames, SLA at 0.1, INT8 transformers of the released shapes without their weights. `aim` is the share of the " +
        "card (TURBOCLIP_DEVICE_MEMORY_GIB); weights are the transformer's, both decoders', and the text encoder's. " +
        "Nothing was measured: native tests hold the plan against what is allocated, to the byte.",
      "`npm run bench -- memory-plan` makes this table.",
    ],
  };
}
