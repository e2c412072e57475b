// Devices as a person names them, and as the engine process is told of its own.
import type { AskedTextEncoding, Device, DeviceOptions } from "../../native/device.ts";

/** What TURBOCLIP_TEXT_ENCODER and `--text-encoder` take. */
export const TEXT_ENCODINGS = ["auto", "bf16", "int8", "host"] as const satisfies readonly AskedTextEncoding[];
export const TEXT_ENCODING_REMEDY =
  "auto (what the card has room for, the default), bf16 (on the card), int8 (half the memory there) or host (on the CPU, in float32)";

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

/** The device that engineEnv() told, and what the host's owner set for it. Throws in words. */
export function readDeviceEnv(env: NodeJS.ProcessEnv): DeviceOptions {
  const device = parseDevice(env.TURBOCLIP_DEVICE ?? "cpu");
  if (device === undefined) throw new Error(`TURBOCLIP_DEVICE is ${env.TURBOCLIP_DEVICE}; the runner sets it`);
  const memoryLimit = readMemoryLimit(env.TURBOCLIP_DEVICE_MEMORY_GIB || undefined);
  const textEncoding = readTextEncoding(device, env.TURBOCLIP_TEXT_ENCODER || undefined);
  const mostResident = readResidentBlocks(env.TURBOCLIP_RESIDENT_BLOCKS || undefined);
  return { device, cudaLibrary: env.TURBOCLIP_CUDA_LIBRARY || undefined, memoryLimit, mostResident, textEncoding };
}

function readTextEncoding(device: Device, text: string | undefined): AskedTextEncoding | undefined {
  const found = TEXT_ENCODINGS.find((encoding) => encoding === text);
  if (text !== undefined && found === undefined) {
    throw new Error(`TURBOCLIP_TEXT_ENCODER is ${JSON.stringify(text)}; give ${TEXT_ENCODING_REMEDY}`);
  }
  if (device === "cpu" && (found === "bf16" || found === "int8")) {
    throw new Error(
      `TURBOCLIP_TEXT_ENCODER is "${found}", which needs a card; on the CPU prompts are encoded in float32`,
    );
  }
  return found;
}

function readResidentBlocks(blocks: string | undefined): number | undefined {
  if (blocks === undefined) return undefined;
  if (/^\d{1,3}$/.test(blocks)) return Number(blocks);
  throw new Error(
    `TURBOCLIP_RESIDENT_BLOCKS is ${JSON.stringify(blocks)}; give how many of a transformer's blocks may stay on the card`,
  );
}

function readMemoryLimit(gib: string | undefined): number | undefined {
  if (gib === undefined) return undefined;
  if (/^\d{1,4}(\.\d{1,3})?$/.test(gib) && Number(gib) > 0) return Math.floor(Number(gib) * 2 ** 30);
  throw new Error(`TURBOCLIP_DEVICE_MEMORY_GIB is ${JSON.stringify(gib)}; give a number of GiB above 0, such as 16`);
}
