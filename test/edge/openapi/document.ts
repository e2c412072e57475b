// The served OpenAPI document as a judge: what an operation may answer, and what an answer does that it does not say.
import * as z from "zod";
import { ERRORS } from "../../../shared/errors.ts";

export type Schema = Readonly<Record<string, unknown>>;

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required?: boolean;
  readonly schema: Schema;
}

interface Answer {
  readonly description: string;
  readonly content?: Readonly<Record<string, { readonly schema?: Schema }>>;
  readonly headers?: Readonly<Record<string, { readonly required?: boolean }>>;
}

interface Described {
  readonly operationId: string;
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, Answer>>;
}

export interface Operation extends Described {
  readonly method: string;
  readonly path: string;
}

export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

export function operationsOf({ paths }: Document): Operation[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => ({ ...described, method: method.toUpperCase(), path })),
  );
}

export function codesOf(operation: Operation, status: number): readonly string[] {
  return operation.responses[status]?.description.split(", ") ?? [];
}

/** A member that no schema names is undocumented, so objects are closed for the judge, as they are not for clients. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, member]) => [name, closed(member)]);
  const schema = Object.fromEntries(entries) as Record<string, unknown>;
  const { type, properties } = schema;
  const isObject = type === "object" && typeof properties === "object";
  return isObject && schema.additionalProperties === undefined ? { ...schema, additionalProperties: false } : schema;
}

export class Judge {
  readonly #definitions: unknown;
  readonly #compiled = new Map<Schema, z.ZodType>();

  constructor({ components }: Document) {
    this.#definitions = closed(components.schemas);
  }

  #validator(schema: Schema): z.ZodType {
    const known = this.#compiled.get(schema);
    if (known !== undefined) return known;
    const whole = JSON.stringify({ ...(closed(schema) as object), $defs: this.#definitions });
    const compiled = z.fromJSONSchema(JSON.parse(whole.replaceAll("#/components/schemas/", "#/$defs/")));
    this.#compiled.set(schema, compiled);
    return compiled;
  }

  #checkBody(schema: Schema, value: unknown): string[] {
    const { success, error } = this.#validator(schema).safeParse(value);
    return success ? [] : [`a body that is not of its schema: ${z.prettifyError(error)}`];
  }

  /** What the answer does that the document does not say; reads its body. */
  async faults(operation: Operation, answer: Response): Promise<string[]> {
    const { status, headers } = answer;
    const faults: string[] = [];
    const described = operation.responses[status];
    // Every operation documents that we may be at fault; that another service is, only those that ask one.
    if (status === 500 || (status > 500 && described === undefined)) faults.push(`status ${status}`);
    const text = await readStart(answer);
    if (described === undefined) return [...faults, `undocumented status ${status}: ${text.slice(0, 200)}`];
    for (const [name, { required }] of Object.entries(described.headers ?? {})) {
      if (required === true && !headers.has(name)) faults.push(`${status} without ${name}`);
    }
    const content = described.content ?? {};
    const type = headers.get("content-type")?.split(";")[0] ?? "";
    if (Object.keys(content).length === 0) {
      return text === "" ? faults : [...faults, `${status} with a body that is not documented`];
    }
    const media = content[type];
    if (media === undefined) return [...faults, `${status} with content type ${JSON.stringify(type)}`];
    for (const value of valuesOf(type, text)) {
      faults.push(...this.#checkBody(media.schema ?? {}, value));
      if (status >= 400) faults.push(...checkCode(operation, status, value));
    }
    return faults;
  }
}

/** Of a problem document, or of OpenAI's error body. */
export function codeOf(body: unknown): string {
  const { code, error } = body as { code?: string; error?: { code?: string } };
  return code ?? error?.code ?? "";
}

function checkCode(operation: Operation, status: number, body: unknown): string[] {
  const code = codeOf(body);
  if (!codesOf(operation, status).includes(code)) return [`undocumented code ${JSON.stringify(code)} with ${status}`];
  const of = ERRORS[code as keyof typeof ERRORS].status;
  return of === status ? [] : [`code ${code} with ${status}, not ${of}`];
}

/** What of the body has a schema: JSON, or the data of server-sent events. */
function valuesOf(type: string, text: string): unknown[] {
  if (type.endsWith("json")) return [JSON.parse(text)];
  if (type !== "text/event-stream") return [];
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data ?? ""));
}

/** The whole body; of a stream of events its first piece, since it goes on for minutes. */
async function readStart(answer: Response): Promise<string> {
  if (answer.headers.get("content-type")?.startsWith("text/event-stream") !== true || answer.body === null) {
    return new TextDecoder().decode(await answer.arrayBuffer());
  }
  const reader = answer.body.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return new TextDecoder().decode(value as Uint8Array | undefined);
}
