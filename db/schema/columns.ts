// Column types that several tables share.
import { integer } from "drizzle-orm/sqlite-core";
import type { Micros } from "../../shared/pricing.ts";

/** Integer milliseconds since 1970. */
export const timeMs = (name: string) => integer(name);
/** Integer micro-dollars. */
export const money = (name: string) => integer(name).$type<Micros>();
