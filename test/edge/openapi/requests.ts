// Requests for an operation of the document: valid ones, and each with one or more things wrong.
import type { Random } from "../../simulation/random.ts";
import { ORIGIN } from "../support/http.ts";
import type { Operation, Parameter } from "./document.ts";
import { type Generator, nastyValue, STRINGS } from "./generate.ts";

/** Bearers by what is wrong with them. */
export interface Bearers {
  readonly good: string;
  readonly bad: readonly string[];
}

/** Past the limits of bodies and of headers. */
const TOO_LONG = 70_000;
const BOUNDARY = "----fuzz";

const RAW_BODIES: readonly (string | Uint8Array<ArrayBuffer>)[] = [
  "",
  "{",
  "null",
  "[]",
  '"text"',
  '{"__proto__":{"model":"x"}}',
  '{"model":"turboclip-demo","model":1}',
  "[".repeat(10_000),
  "\ufeff{}",
  " ".repeat(TOO_LONG),
  Uint8Array.of(0xff, 0xfe, 0x00),
  Uint8Array.of(0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d),
];

const CONTENT_TYPES = [
  "text/plain",
  "application/xml",
  "application/json; charset=utf-16",
  "multipart/form-data",
  `multipart/form-data; boundary=${BOUNDARY}`,
  "application/x-www-form-urlencoded",
  "nonsense",
  "",
];

const MULTIPARTS = [
  "",
  `--${BOUNDARY}`,
  `--${BOUNDARY}\r\n\r\n--${BOUNDARY}--`,
  `--${BOUNDARY}\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nx`,
  `--${BOUNDARY}\r\ncontent-disposition: form-data; name="prompt"; filename="\u0000"\r\n\r\nx\r\n--${BOUNDARY}--\r\n`,
  `--${BOUNDARY}\r\ncontent-disposition: form-data; name=prompt\r\n\r\na\r\n--${BOUNDARY}\r\ncontent-disposition: form-data; name=prompt\r\n\r\nb\r\n--${BOUNDARY}--\r\n`,
];

/** Headers that would make a valid request wait, or that a schema of text says nothing of. */
const HEADERS: Readonly<Record<string, readonly string[]>> = {
  prefer: ["wait=0", "wait=-1", "wait=x", "respond-async", ","],
  "idempotency-key": ["a", "b", "x".repeat(255), "x".repeat(256), "a b", ""],
  "last-event-id": ["queued.0", "", "x".repeat(201)],
};

/** Only ASCII: a request of the platform's cannot be made with anything else. */
const inHeader = (text: string) => text.replaceAll(/[^\x20-\x7e]/g, "?");

function encode(text: string, random: Random): string {
  if (random.chance(0.03)) return random.pick(["%FF", "%C3%28", "%", "%00", "%ED%A0%80"]);
  return encodeURIComponent(text.toWellFormed());
}

export class Requests {
  readonly #random: Random;
  readonly #generator: Generator;
  readonly #bearers: Bearers;
  readonly #secrets: Readonly<Record<string, string>>;

  /** secrets: what is good in a path, by the name of its parameter, and no schema could say. */
  constructor(random: Random, generator: Generator, bearers: Bearers, secrets: Readonly<Record<string, string>>) {
    this.#secrets = secrets;
    this.#random = random;
    this.#generator = generator;
    this.#bearers = bearers;
  }

  draw(operation: Operation): Request {
    const random = this.#random;
    const { parameters = [] } = operation;
    const path = parameters
      .filter((parameter) => parameter.in === "path")
      .reduce((text, parameter) => text.replace(`{${parameter.name}}`, this.#text(parameter) || "x"), operation.path);
    const query = parameters.filter((parameter) => parameter.in === "query").flatMap((p) => this.#query(p));
    if (random.chance(0.05)) query.push(`unknown=${encode(random.pick(STRINGS), random)}`);
    const headers = this.#headers(parameters);
    const url = `${ORIGIN}${path}${query.length === 0 ? "" : `?${query.join("&")}`}`;
    const body = this.#body(operation, headers);
    return new Request(url, { method: operation.method, headers, ...(body !== null && { body }) });
  }

  #text({ name, schema }: Parameter): string {
    const random = this.#random;
    const value = random.chance(0.85) ? (this.#secrets[name] ?? this.#generator.valid(schema)) : nastyValue(random);
    return encode(String(Array.isArray(value) ? value.flat(Number.POSITIVE_INFINITY)[0] : value), random);
  }

  /** None, one, or the same name twice. */
  #query(parameter: Parameter): string[] {
    const random = this.#random;
    const times = parameter.required === true ? 1 : random.pick([0, 0, 1, 1, 1, 2]);
    return Array.from({ length: times }, () => `${parameter.name}=${this.#text(parameter)}`);
  }

  #headers(parameters: readonly Parameter[]): Headers {
    const random = this.#random;
    const headers = new Headers();
    const bearer = random.chance(0.9) ? this.#bearers.good : random.pick(this.#bearers.bad);
    if (bearer !== "") headers.set("authorization", inHeader(bearer));
    if (random.chance(0.02)) headers.set("x-padding", "x".repeat(TOO_LONG));
    if (random.chance(0.03)) headers.set("range", random.pick(["bytes=0-0", "bytes=9-", "bytes=-", "x"]));
    for (const parameter of parameters.filter((one) => one.in === "header")) {
      const name = parameter.name.toLowerCase();
      if (!random.chance(0.3)) continue;
      const known = HEADERS[name];
      const good = known === undefined ? String(this.#generator.valid(parameter.schema)) : random.pick(known);
      headers.set(name, random.chance(0.9) ? good : inHeader(random.pick(STRINGS)));
    }
    return headers;
  }

  #body({ requestBody }: Operation, headers: Headers): BodyInit | null {
    const random = this.#random;
    const [type, media] = Object.entries(requestBody?.content ?? {})[0] ?? [];
    if (type === undefined || media === undefined) return null;
    const kind = random.weighted({ valid: 5, broken: 5, raw: 1, mistyped: 1, none: 0.3 });
    if (kind === "none") return null;
    if (kind === "raw") {
      const form = type.startsWith("multipart") && random.chance(0.7);
      headers.set("content-type", form ? `multipart/form-data; boundary=${BOUNDARY}` : type);
      return random.pick<string | Uint8Array<ArrayBuffer>>(form ? MULTIPARTS : RAW_BODIES);
    }
    const valid = this.#generator.valid(media.schema);
    const value = kind === "broken" ? this.#generator.broken(valid) : valid;
    if (kind !== "mistyped" && type.startsWith("multipart") && typeof value === "object") return formOf(value);
    const wrong = random.pick(CONTENT_TYPES);
    headers.set("content-type", kind === "mistyped" ? wrong : "application/json");
    return JSON.stringify(value) ?? "";
  }
}

function formOf(fields: object | null): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields ?? {})) {
    form.append(name, (typeof value === "string" ? value : JSON.stringify(value)).toWellFormed());
  }
  return form;
}
