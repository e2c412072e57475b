// Values by JSON Schema, as the document uses it, and values that no schema expects. All drawn from one seed.
import type { Random } from "../../simulation/random.ts";
import type { Document, Schema } from "./document.ts";

/** Ids that exist, by prefix: those of who calls, and those of another account. */
export interface Ids {
  readonly own: Readonly<Record<string, readonly string[]>>;
  readonly others: Readonly<Record<string, readonly string[]>>;
}

const ABSENT = "01j9z3k4m5n6p7q8r9s0t1v2w3";
const LONG = 5_000;
/** Of trusted hosts, at a port that is nobody's: nothing is looked up and nothing is reached. */
const DEAD_URL = "http://127.0.0.1:9/hook";

/** Nasty text: empty, long, NUL, lone surrogates, marks that other languages of ours use, numbers that are none. */
export const STRINGS = [
  "",
  " ",
  "x".repeat(LONG),
  "\u0000",
  "a\u0000b",
  "\ud800",
  "\udc00x",
  "\u202e\ufeff",
  "👩‍👩‍👧‍👦".repeat(20),
  "'; drop table clips; --",
  "%",
  "../../etc/passwd",
  "__proto__",
  "NaN",
  "1e999",
  "-0",
  "null",
  "2026-02-30T00:00:00Z",
  "9999-12-31T23:59:59.999Z",
  "0000-01-01",
] as const;

const NUMBERS = [0, -0, -1, 1, 0.5, 1e-300, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53), 2 ** 63, 1e21, 1e308] as const;

function nested(depth: number): unknown {
  let value: unknown = 0;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

/** A value of any type but the one that is expected, or at the edge of it. */
export function nastyValue(random: Random): unknown {
  return random.pick<() => unknown>([
    () => random.pick(STRINGS),
    () => random.pick(NUMBERS),
    () => random.pick([null, true, false]),
    () => random.pick([[], {}, [null], [[]], { length: 1 }, { "": "" }]),
    () => nested(random.between(1, 500)),
  ])();
}

export class Generator {
  readonly #random: Random;
  readonly #schemas: Document["components"]["schemas"];
  readonly #ids: Ids;

  constructor(random: Random, { components }: Document, ids: Ids) {
    this.#random = random;
    this.#schemas = components.schemas;
    this.#ids = ids;
  }

  id(prefix: string): string {
    const random = this.#random;
    const from = random.weighted({ own: 6, others: 2, absent: 1 });
    const known = from === "absent" ? [] : (this.#ids[from][prefix] ?? []);
    return known.length === 0 ? `${prefix}_${ABSENT}` : random.pick(known);
  }

  valid(schema: Schema): unknown {
    const random = this.#random;
    const { $ref, anyOf, example, type, default: preset } = schema;
    if (typeof $ref === "string") return this.valid(this.#schemas[$ref.split("/").at(-1) ?? ""] ?? {});
    if (Array.isArray(schema.enum)) return random.pick(schema.enum as unknown[]);
    if (Array.isArray(anyOf)) return this.valid(random.pick(anyOf as Schema[]));
    if (preset !== undefined && random.chance(0.2)) return preset;
    const prefix = typeof schema.pattern === "string" && /^\^([a-z]+)_\[/.exec(schema.pattern)?.[1];
    if (prefix) return this.id(prefix);
    if (example !== undefined && random.chance(0.7)) return example;
    switch (Array.isArray(type) ? random.pick(type) : type) {
      case "string":
        return this.#string(schema);
      case "integer":
      case "number": {
        const { minimum = 0, maximum = 1_000 } = schema as { minimum?: number; maximum?: number };
        return random.pick([minimum, maximum, random.between(minimum, Math.min(maximum, minimum + 1_000))]);
      }
      case "boolean":
        return random.chance(0.5);
      case "array": {
        const { items = {}, minItems = 0 } = schema as { items?: Schema; minItems?: number };
        return Array.from({ length: Math.max(minItems, random.between(0, 2)) }, () => this.valid(items));
      }
      case "object":
        return this.#object(schema);
      default:
        return null;
    }
  }

  #string({ format, pattern, minLength = 0, maxLength = 40, description = "" }: Schema): string {
    const random = this.#random;
    if (format === "date-time") return new Date(random.between(0, 2 ** 31) * 1_000).toISOString();
    if (format === "date") return new Date(random.between(1.6e9, 2e9) * 1_000).toISOString().slice(0, 10);
    if (format === "uri" || maxLength === 2_000) return DEAD_URL;
    if (typeof pattern === "string" && pattern.includes("x[1-9]")) return "256x192";
    if (typeof pattern === "string" && pattern.includes("csv")) return "2026-11.csv";
    if (typeof pattern === "string") return String(random.between(0, 99_999));
    if (String(description).includes("name=value")) return "a=b";
    const length = Math.min(Number(maxLength), random.between(Number(minLength) || 1, 40));
    return random.pick(["é", "a", "日"]).repeat(length);
  }

  #object({ properties = {}, required = [], additionalProperties }: Schema): unknown {
    const random = this.#random;
    const wanted = Object.entries(properties as Record<string, Schema>).filter(
      ([name]) => (required as string[]).includes(name) || random.chance(0.3),
    );
    const entries = wanted.map(([name, schema]) => [name, this.valid(schema)] as const);
    const free = typeof additionalProperties === "object" && additionalProperties !== null;
    return {
      ...Object.fromEntries(entries),
      ...(free && random.chance(0.5) && { label: this.valid(additionalProperties as Schema) }),
    };
  }

  /** The same with one member dropped, replaced or added, at any depth. */
  broken(value: unknown): unknown {
    const random = this.#random;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return nastyValue(random);
    const members = Object.entries(value);
    const [name, member] = members.length === 0 ? ["x", null] : random.pick(members);
    const rest = Object.fromEntries(members.filter(([other]) => other !== name));
    return random.pick<() => unknown>([
      () => rest,
      () => ({ ...rest, [name]: this.broken(member) }),
      () => ({ ...rest, [name]: nastyValue(random) }),
      () => ({ ...value, [random.pick(["unknown", "constructor", "\u0000", "id"])]: nastyValue(random) }),
      () => nastyValue(random),
    ])();
  }
}
