// A curl command for an operation, from the examples and defaults of its schemas: to be pasted into a shell.
import { type Document, nameOf, type Operation, type Schema } from "./document.ts";

/** An example of a value: its own, its default, or the least that the schema lets pass. */
export function exampleOf(schema: Schema, schemas: Document["components"]["schemas"]): unknown {
  const { example, default: preset, anyOf, items, properties = {}, required = [], type } = schema;
  if (schema.$ref !== undefined) return exampleOf(schemas[nameOf(schema)] ?? {}, schemas);
  if (example !== undefined) return example;
  if (preset !== undefined) return preset;
  if (schema.enum !== undefined) return schema.enum[0];
  if (anyOf?.[0] !== undefined) return exampleOf(anyOf[0], schemas);
  switch ([type].flat()[0] ?? "string") {
    case "object":
      return Object.fromEntries(
        Object.entries(properties)
          .filter(([name]) => required.includes(name))
          .map(([name, member]) => [name, exampleOf(member, schemas)]),
      );
    case "array":
      return items === undefined ? [] : [exampleOf(items, schemas)];
    case "integer":
    case "number":
      return schema.minimum ?? 1;
    case "boolean":
      return true;
    default:
      return schema.format === "date-time" ? "2026-11-23T12:00:00Z" : "...";
  }
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

export function curlOf(document: Document, method: string, path: string, operation: Operation): string {
  const { schemas } = document.components;
  const { parameters = [], requestBody, security } = operation;
  const needed = parameters.filter((parameter) => parameter.required === true);
  const text = (schema: Schema) => String(exampleOf(schema, schemas));
  const filled = needed
    .filter((parameter) => parameter.in === "path")
    .reduce((all, { name, schema }) => all.replace(`{${name}}`, text(schema)), path);
  const query = needed.filter((parameter) => parameter.in === "query");
  const search = query.map(({ name, schema }) => `${name}=${encodeURIComponent(text(schema))}`).join("&");
  const url = `${document.servers[0]?.url ?? ""}${filled}${search === "" ? "" : `?${search}`}`;
  const lines = [`curl${method === "get" ? "" : ` -X ${method.toUpperCase()}`} ${quoted(url)}`];
  if (security !== undefined) lines.push('-H "authorization: Bearer $TURBOCLIP_API_KEY"');
  const [type, media] = Object.entries(requestBody?.content ?? {})[0] ?? [];
  const body = media?.schema === undefined ? undefined : exampleOf(media.schema, schemas);
  if (type === "multipart/form-data") {
    lines.push(...Object.entries(body as object).map(([name, value]) => `-F ${quoted(`${name}=${value}`)}`));
  } else if (type !== undefined) {
    lines.push(`-H 'content-type: ${type}'`, `-d ${quoted(JSON.stringify(body))}`);
  }
  return lines.join(" \\\n  ");
}
