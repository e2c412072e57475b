// Where engines compute on this host, and what a CUDA device says of itself.
import { dirname, join } from "node:path";
import { ADDON_PATH, openAddon } from "./addon.ts";

/** The CPU, or a CUDA device by its number, as the driver counts from 0. */
export type Device = "cpu" | number;

/** Where a card's prompts are encoded, and in what weights: on the card in bfloat16 or INT8, or on the CPU. */
export type TextEncoding = "bf16" | "int8" | "host";
/** The same as it is asked for; auto: as the plan of a set's load says. */
export type AskedTextEncoding = TextEncoding | "auto";

export interface DeviceOptions {
  readonly device: Device;
  /** libturboclip_cuda.so; where the build puts it, if absent. */
  readonly cudaLibrary?: string | undefined;
  /** Bytes of the device that a model and its clips may take; all that is free, if absent. */
  readonly memoryLimit?: number | undefined;
  /** Blocks of a transformer on the device at most, the others in the host's memory; as many as fit, if absent. */
  readonly mostResident?: number | undefined;
  /** Of a CUDA device: auto, if absent. */
  readonly textEncoding?: AskedTextEncoding | undefined;
}

export interface CudaDevice {
  readonly name: string;
  /** The newest CUDA that the driver knows, such as "13.0". */
  readonly driver: string;
  readonly freeBytes: number;
  readonly totalBytes: number;
}

interface NativeCudaOptions {
  readonly device: number;
  readonly library: string;
  readonly memoryLimit: number;
  readonly mostResident: number;
  readonly textEncoding: AskedTextEncoding;
}

interface DeviceAddon {
  findCudaDevice(options: NativeCudaOptions): Promise<CudaDevice>;
}

/** Beside the addon: the build makes it where nvcc is. */
const CUDA_LIBRARY_PATH = join(dirname(ADDON_PATH), "..", "cuda", "libturboclip_cuda.so");

/** As the addon's Engine.load() takes it. */
export function toNativeDevice(options: DeviceOptions) {
  const { device } = options;
  return device === "cpu"
    ? ({ backend: "cpu" } as const)
    : ({ backend: "cuda", ...toNativeCuda(device, options) } as const);
}

export function toNativeCuda(device: number, options: Omit<DeviceOptions, "device">): NativeCudaOptions {
  const { cudaLibrary: library = CUDA_LIBRARY_PATH, memoryLimit = 0, mostResident = -1 } = options;
  return { device, library, memoryLimit, mostResident, textEncoding: options.textEncoding ?? "auto" };
}

/**
 * The device once it has multiplied a product of known numbers rightly. Rejects with `backend_unavailable`: no
 * library, no driver, no such device, or one that computes wrongly.
 */
export async function findCudaDevice(
  device: number,
  cudaLibrary?: string,
  textEncoding?: AskedTextEncoding,
): Promise<CudaDevice> {
  return openAddon<DeviceAddon>().findCudaDevice(toNativeCuda(device, { cudaLibrary, textEncoding }));
}

/** "NVIDIA H200, driver for CUDA 13.0, 138.9 of 139.8 GiB free". */
export function describeCudaDevice({ name, driver, freeBytes, totalBytes }: CudaDevice): string {
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  return `${name}, driver for CUDA ${driver}, ${gib(freeBytes)} of ${gib(totalBytes)} GiB free`;
}
