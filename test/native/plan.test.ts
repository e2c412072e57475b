// The planner's answers for the released models, by their shapes alone.
import { describe, expect, it } from "vitest";
import { type PlanCase, withPlanner } from "../../bench/memory-plan.ts";
import { DEMO_FILES } from "../../models/demo/shipped.ts";
import { describePlan, planOnDevice } from "../../native/plan.ts";

const GIB = 2 ** 30;
const usual = { decoder: "vae", textEncoding: "host" } as const;

describe("planning a released model for a card", () => {
  it("fits a card's share, streams what it must and no more, and says what would fit where nothing does", {
    timeout: 120_000, // each plan opens four files of true shapes
  }, () => {
    withPlanner((plan) => {
      for (const shape of ["1.3B", "14B", "A14B, one expert"] as const) {
        let streamed = Number.POSITIVE_INFINITY;
        for (const gib of [9, 15, 31, 80]) {
          const answer = plan({ ...usual, shape, size: "720p", gib });
          expect(answer.streamed).toBeLessThanOrEqual(streamed);
          streamed = answer.streamed;
          if (answer.fits) expect(answer.peak).toBeLessThanOrEqual(gib * GIB);
          else expect(answer.remedy).toMatch(/what fits: |no clip fits/);
          const sum = answer.transformer + answer.decoders + Math.max(answer.denoise, answer.decode);
          expect(answer.peak).toBe(sum);
        }
        expect(streamed).toBe(0);
      }
    });
  });

  it.each<PlanCase & { readonly fits: boolean; readonly streams: boolean }>([
    { shape: "1.3B", size: "480p", decoder: "vae", textEncoding: "int8", gib: 9, fits: true, streams: false },
    { shape: "14B", size: "480p", decoder: "vae", textEncoding: "host", gib: 10, fits: true, streams: true },
    { shape: "14B", size: "720p", decoder: "vae", textEncoding: "host", gib: 10, fits: true, streams: true },
    { shape: "14B", size: "720p", decoder: "vae", textEncoding: "int8", gib: 31, fits: true, streams: false },
    { shape: "14B", size: "720p", decoder: "vae", textEncoding: "bf16", gib: 15, fits: false, streams: true },
  ])("$shape $size with its text encoder ($textEncoding) on $gib GiB", ({ fits, streams, ...wanted }) => {
    const answer = withPlanner((plan) => plan(wanted));
    expect({ fits: answer.fits, streams: answer.streamed > 0 }, JSON.stringify(answer)).toEqual({ fits, streams });
    if (!fits) expect(answer.remedy).toMatch(/what fits: .*text encoder in INT8/);
  });

  it.each<Omit<PlanCase, "textEncoding" | "gib"> & { readonly chosen: readonly (readonly [number, string])[] }>([
    {
      shape: "1.3B",
      size: "480p",
      decoder: "vae",
      chosen: [
        [31, "bf16"],
        [9, "int8"],
        [8, "int8 streamed"],
        [4.2, "host streamed"],
      ],
    },
    {
      shape: "14B",
      size: "480p",
      decoder: "taehv",
      chosen: [
        [31, "bf16"],
        [22, "int8"],
        [15, "int8 streamed"],
      ],
    },
    {
      shape: "14B",
      size: "720p",
      decoder: "vae",
      chosen: [
        [31, "bf16"],
        [28, "int8"],
        [15, "int8 streamed"],
        [10, "host streamed"],
        [3, "host refused"],
      ],
    },
  ])("$shape $size has its text encoder by default where there is room: $chosen", ({ chosen, ...wanted }) => {
    withPlanner((plan) => {
      const found = chosen.map(([gib]) => {
        const { fits, streamed, textEncoding } = plan({ ...wanted, textEncoding: "auto", gib });
        return [gib, `${textEncoding}${fits ? (streamed > 0 ? " streamed" : "") : " refused"}`];
      });
      expect(found).toEqual(chosen);
    });
  });

  it("says the peak, the blocks and the text encoder in words", () => {
    withPlanner((plan) => {
      const wanted = { shape: "14B", size: "720p", decoder: "vae", textEncoding: "auto" } as const;
      expect(describePlan(plan({ ...wanted, gib: 31 }))).toMatch(
        /^\d+\.\d\d of 31\.00 GiB at the peak; all 40 blocks on the card; text encoder on the card in bfloat16 \(8\.6\d GiB\)$/,
      );
      expect(describePlan(plan({ ...wanted, gib: 10 }))).toMatch(
        /; \d+ of 40 blocks on the card, the others in [\d.]+ GiB of pinned memory; text encoder on the host$/,
      );
    });
  });

  it("refuses what cannot be planned, naming it", () => {
    const { transformer, textEncoder, vae } = DEMO_FILES;
    const clip = { width: 64, height: 64, frames: 5, decoder: "vae", attention: "sla", topkRatio: 0.1 } as const;
    const paths = { transformer, textEncoder, vae };
    expect(() => planOnDevice(paths, { clip: { ...clip, width: 63 }, available: GIB })).toThrow(/multiples of 16/);
    expect(() => planOnDevice(paths, { clip, available: GIB }, { cudaLibrary: "/nowhere/x.so" })).toThrow(
      /does not open/,
    );
  });
});
