// What the planner answers for the released models on cards of several sizes: no card and no weights are needed.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AskedTextEncoding } from "../native/device.ts";
import type { LargestClip } from "../native/index.ts";
import { type DevicePlan, describePlan, planOnDevice } from "../native/plan.ts";
import type { Result, Row } from "./table.ts";
import { type TrueShape, writeTrueShapes } from "./true-shapes.ts";

const GIB = 2 ** 30;
const SIZES = { "480p": { width: 832, height: 480 }, "720p": { width: 1280, height: 720 } } as const;
const CARDS = [9, 10, 15, 31] as const;
const CASES: readonly (readonly [TrueShape, keyof typeof SIZES])[] = [
  ["1.3B", "480p"],
  ["14B", "480p"],
  ["14B", "720p"],
];
const DECODERS = { vae: "VAE", taehv: "TAEHV" } as const;
const TEXT_ENCODERS = { bf16: "in bfloat16", int8: "in INT8", host: "on the host" } as const;
/** More than any card has. */
const UNLIMITED_GIB = 1_000;
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
  readonly textEncoding: AskedTextEncoding;
  readonly gib: number;
  /** As of DeviceOptions. */
  readonly mostResident?: number;
}

/** Plans in a folder that holds the sets' headers, and is removed. */
export function withPlanner<T>(use: (plan: (wanted: PlanCase) => DevicePlan) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "turboclip-plan-"));
  const cudaLibrary = planningLibrary();
  try {
    return use(({ shape, size, decoder, textEncoding, gib, mostResident }) => {
      const paths = writeTrueShapes(join(folder, shape.replaceAll(/\W+/g, "-")), shape);
      const clip = { ...SIZES[size], frames: 81, attention: "sla", topkRatio: 0.1, decoder } as const;
      return planOnDevice(paths, { clip, available: gib * GIB }, { cudaLibrary, textEncoding, mostResident });
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type Plan = Parameters<Parameters<typeof withPlanner>[0]>[0];

/** What the default makes of a card. */
function onCards(plan: Plan): Row[] {
  return CARDS.flatMap((gib) =>
    CASES.flatMap(([shape, size]) =>
      (["vae", "taehv"] as const).map((decoder): Row => {
        const answer = plan({ shape, size, decoder, textEncoding: "auto", gib });
        return {
          what: `${gib} GiB: ${shape}, ${size}, ${DECODERS[decoder]}`,
          measured: answer.fits ? describePlan(answer) : `does not fit; ${answer.remedy}`,
          aim: "",
        };
      }),
    ),
  );
}

const gib = (bytes: number) => (bytes / GIB).toFixed(2);

/** What each way to encode prompts needs. */
function byTextEncoder(plan: Plan): Row[] {
  return CASES.flatMap(([shape, size]) =>
    (["vae", "taehv"] as const).flatMap((decoder) =>
      (["bf16", "int8", "host"] as const).map((textEncoding): Row => {
        const wanted = { shape, size, decoder, textEncoding, gib: UNLIMITED_GIB };
        const whole = plan(wanted);
        const least = plan({ ...wanted, mostResident: 0 });
        const { transformer, decoders, textEncoder, denoise, decode } = whole;
        const parts = `weights ${gib(transformer)} + ${gib(decoders)} + ${gib(textEncoder)}, steps ${gib(denoise)}, decode ${gib(decode)}`;
        return {
          what: `${shape}, ${size}, ${DECODERS[decoder]}, text encoder ${TEXT_ENCODERS[textEncoding]}`,
          measured: `${gib(whole.peak)} GiB with all blocks on the card (${parts}), ${gib(least.peak)} with none`,
          aim: AIMS[`${shape} ${size} ${decoder} ${textEncoding}`] ?? "",
        };
      }),
    ),
  );
}

/** Of performance, where a set has one. */
const AIMS: Readonly<Record<string, string>> = {
  "1.3B 480p vae int8": "at most 9 GiB",
  "14B 720p vae int8": "at most 28 GiB with all blocks",
  "14B 720p vae host": "at most 10 GiB with blocks from the host",
};

export async function memoryPlan(): Promise<Result> {
  return {
    title: "What fits on a card, by the planner",
    rows: withPlanner((plan) => [...onCards(plan), ...byTextEncoder(plan)]),
    notes: [
      "81 frames, SLA at 0.1, INT8 transformers of the released shapes without their weights, and both decoders loaded. " +
        "The first rows are the default's answers (`TURBOCLIP_TEXT_ENCODER=auto`) on cards of which so much is free or may be " +
        "taken (`TURBOCLIP_DEVICE_MEMORY_GIB`); the driver's own half GiB is not in it, so a card of 32 GB has some 31. " +
        "The others are what each way to encode prompts needs; weights are the transformer's, the decoders' and the text " +
        "encoder's, and a clip takes the larger of its stages beside them. Nothing was measured: native tests hold the plan " +
        "against what is allocated, to the byte.",
      "`npm run bench -- memory-plan` makes this table, on any machine.",
    ],
  };
}
