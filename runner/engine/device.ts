// Devices as a person names them, and as the engine process is told of its own.
import type { Device, DeviceOptions } from "../../native/device.ts";

/** What `--gpus` and `--gpu` take for one engine. */
export const DEVICE_REMEDY = '"cpu", or the number of a CUDA device as nvidia-smi counts them, from 0';

/** "cpu" or a number; undefined for anything else. */
export function parseDevice(text: string): Device | undefined {
  if (text === "cpu") return "cpu";
  return /^\d{1,3}$/.test(text) ? Number(text) : undefined;
}

/** As the edge lists it. */
export function deviceName(device: Device): string {
  return device === "cpu" ? "cpu" : `cuda:${device}`;
}

/** For the engine process: what it computes on, and with how many threads where that is the CPU. */
export function engineEnv(env: NodeJS.ProcessEnv, device: Device, threads: number): NodeJS.ProcessEnv {
  return { ...env, TURBOCLIP_DEVICE: String(device), TURBOCLIP_THREADS: String(threads) };
}

/** What engineEnv() told. */
export function readEngineEnv(env: NodeJS.ProcessEnv): { readonly on: DeviceOptions; readonly threads: number } {
  const device = parseDevice(env.TURBOCLIP_DEVICE ?? "cpu");
  if (device === undefined) throw new Error(`TURBOCLIP_DEVICE is ${env.TURBOCLIP_DEVICE}; the runner sets it`);
  const on = { device, cudaLibrary: env.TURBOCLIP_CUDA_LIBRARY || undefined };
  return { on, threads: Number(env.TURBOCLIP_THREADS ?? 0) };
}
