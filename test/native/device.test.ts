// The engine on a CUDA device through the addon, with the emulated card of the native tests.
import { describe, expect, it } from "vitest";
import { DEMO_FILES } from "../../models/demo/shipped.ts";
import { type DeviceOptions, describeCudaDevice, findCudaDevice } from "../../native/device.ts";
import { Engine, type GenerateRequest, openBackend } from "../../native/index.ts";

const EMULATED = new URL("../../build/native/test/cuda/emulator/libturboclip_cuda_emulated_library.so", import.meta.url)
  .pathname;

const request: GenerateRequest = {
  ...{ tokenIds: [5, 17, 30, 1], width: 64, height: 48, frames: 5, steps: 4, seed: 7 },
  ...{ sampler: "sde", sigmaMax: 80, attention: "sla", topkRatio: 0.15 },
};

async function draw(on: DeviceOptions): Promise<Buffer> {
  const { transformer, textEncoder, vae } = DEMO_FILES;
  const engine = await Engine.load({ transformer, textEncoder, vae }, { threads: 1 }, on);
  try {
    expect(engine.info.backend).toBe(on.device === "cpu" ? "cpu" : "cuda");
    return (await engine.generate(request)).frames;
  } finally {
    engine.free();
  }
}

/** Whatever starts an engine on an emulated card waits for its self-test, kernel by kernel on the CPU. */
const PATIENCE = { timeout: 120_000 };

describe("the engine addon on a CUDA device", PATIENCE, () => {
  it("draws the shipped model's clip within 45 dB of the CPU's, on any of the devices", async () => {
    const onHost = await draw({ device: "cpu" });
    const onDevice = await draw({ device: 1, cudaLibrary: EMULATED });
    expect(onDevice.length).toBe(onHost.length);
    const squares = onHost.reduce((sum, level, i) => sum + (level - (onDevice[i] ?? 0)) ** 2, 0);
    expect(10 * Math.log10(255 ** 2 / (squares / onHost.length))).toBeGreaterThan(45);
  });

  it("describes the device that it has tried", async () => {
    const device = await findCudaDevice(1, EMULATED);
    expect(device).toMatchObject({ name: "emulated", driver: "13.0", totalBytes: 8 * 2 ** 30 });
    const { name, device: words } = await openBackend({ device: 1, cudaLibrary: EMULATED });
    expect([name, words]).toEqual(["cuda", describeCudaDevice(device)]);
  });

  it.each([
    [-1, "the number of a CUDA device"],
    [0.5, "an integer"],
  ])("refuses device %j in words", async (device, words) => {
    await expect(findCudaDevice(device, EMULATED)).rejects.toThrow(words);
    await expect(draw({ device, cudaLibrary: EMULATED })).rejects.toMatchObject({ code: "request_invalid" });
  });
});
