// Price of a clip: ceil(base[model][resolution] * frames / 81) micro-dollars. Steps and seed are free.
import { type ModelSpec, resolutionOf, type Size } from "./models.ts";

/** Integer micro-dollars: 1,000,000 are one US dollar. */
export type Micros = number & { readonly __unit: "micros" };

export function micros(value: number): Micros {
  if (!Number.isSafeInteger(value)) throw new RangeError(`not an integer amount of micro-dollars: ${value}`);
  return value as Micros;
}

/** The frames that a base price is quoted for: a 5-second clip. */
const BASE_FRAMES = 81;

export function priceOf(model: ModelSpec, size: Size, frames: number): Micros {
  const base = model.basePriceMicros[resolutionOf(size)];
  if (base === undefined) throw new RangeError(`${model.id} has no price at ${size}`);
  return micros(Math.ceil((base * frames) / BASE_FRAMES));
}

/** "$0.020000", for people; the API always speaks in integers. */
export function formatDollars(amount: Micros): string {
  const sign = amount < 0 ? "-" : "";
  const absolute = Math.abs(amount);
  return `${sign}$${Math.floor(absolute / 1_000_000)}.${String(absolute % 1_000_000).padStart(6, "0")}`;
}
