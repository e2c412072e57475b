// The API's reference as one HTML page, written on the server from the OpenAPI document: nothing is loaded from elsewhere,
// and without scripts it only lacks its search. Everything from the document is escaped by the html tag.
import { html, raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";
import { curlOf } from "./curl.ts";
import { type Document, nameOf, type Operation, type Parameter, type Schema } from "./document.ts";
import { SEARCH, STYLE } from "./style.ts";

type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

const reference = (name: string) => html`<a href="#schema-${name}">${name}</a>`;

/** What a value may be, in a line; named schemas as links. */
function typeOf(schema: Schema): Html {
  if (schema.$ref !== undefined) return reference(nameOf(schema));
  if (schema.anyOf !== undefined)
    return html`${schema.anyOf.map((one, i) => html`${i > 0 ? " or " : ""}${typeOf(one)}`)}`;
  if (schema.enum !== undefined) return html`${schema.enum.map((value) => JSON.stringify(value)).join(" or ")}`;
  if (schema.items !== undefined) return html`list of ${typeOf(schema.items)}`;
  if (schema.properties !== undefined) return membersOf(schema);
  const { additionalProperties: values } = schema;
  if (typeof values === "object") return html`object of ${typeOf(values)}`;
  return html`${[schema.type ?? "any"].flat().join(" or ")}${limitsOf(schema)}`;
}

const LIMITS = ["format", "pattern", "minimum", "maximum", "minLength", "maxLength", "default"] as const;

function limitsOf(schema: Schema): string {
  const limits = LIMITS.filter((limit) => schema[limit] !== undefined);
  return limits.map((limit) => `, ${limit} ${String(schema[limit])}`).join("");
}

function row(name: string, isRequired: boolean, schema: Schema, description = schema.description ?? ""): Html {
  const mark = isRequired ? html` <small>required</small>` : "";
  return html`<tr><td><code>${name}</code>${mark}</td><td>${typeOf(schema)}</td><td>${description}</td></tr>`;
}

function membersOf({ properties = {}, required = [] }: Schema): Html {
  const rows = Object.entries(properties).map(([name, member]) => row(name, required.includes(name), member));
  return html`<table>${rows}</table>`;
}

function parametersOf(parameters: readonly Parameter[]): Html {
  if (parameters.length === 0) return html``;
  const rows = parameters.map((one) =>
    row(`${one.name} (${one.in})`, one.required === true, one.schema, one.description ?? one.schema.description),
  );
  return html`<h3>Parameters</h3><table>${rows}</table>`;
}

function answersOf({ responses }: Operation): Html {
  const rows = Object.entries(responses).map(([status, { description, content = {} }]) => {
    const bodies = Object.entries(content).map(([type, { schema }]) =>
      schema === undefined ? html`${type} ` : html`${type}: ${typeOf(schema)} `,
    );
    return html`<tr><td>${status}</td><td>${description}</td><td>${bodies}</td></tr>`;
  });
  return html`<h3>Answers</h3><table>${rows}</table>`;
}

function operationOf(document: Document, path: string, method: string, operation: Operation): Html {
  const { operationId, summary = "", description = "", parameters = [], requestBody, security } = operation;
  const scopes = (security ?? []).map((one) => Object.entries(one).map(([kind, of]) => `${kind} (${of.join(", ")})`));
  const bodies = Object.entries(requestBody?.content ?? {}).map(
    ([type, { schema = {} }]) => html`<h3>Body</h3><p>${type}: ${typeOf(schema)}</p>`,
  );
  return html`<section id="${operationId}"><h2><code>${method.toUpperCase()} ${path}</code></h2>
<p><strong>${summary}</strong></p><p>${description}</p>
<p>${scopes.length === 0 ? "Needs no key." : `Needs ${scopes.flat().join(" or ")}.`}</p>
<pre>${curlOf(document, method, path, operation)}</pre>
${parametersOf(parameters)}${bodies}${answersOf(operation)}</section>`;
}

/** `nonce` is of the content security policy that the page is sent with. */
export async function renderReference(document: Document, nonce: string): Promise<string> {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const groups = (document.tags ?? []).map(({ name }) => {
    const of = operations.filter(({ operation }) => operation.tags?.includes(name));
    const links = of.map(
      ({ operation: { operationId, summary } }) =>
        html`<li><a href="#${operationId}">${summary ?? operationId}</a></li>`,
    );
    return html`<h2>${name}</h2><ol>${links}</ol>`;
  });
  const schemas = Object.entries(document.components.schemas);
  const { title, version, description } = document.info;
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title} API reference</title><style nonce="${nonce}">${raw(STYLE)}</style></head><body>
<nav><strong>${title}</strong> ${version}<p><input type="search" placeholder="Search" aria-label="Search" hidden></p>
${groups}
<h2>Schemas</h2><ol>${schemas.map(([name]) => html`<li><a href="#schema-${name}">${name}</a></li>`)}</ol></nav>
<main><h1>${title} API</h1>${description.split("\n\n").map((text) => html`<p>${text}</p>`)}
<p>The same for programs: <a href="/openapi.json">openapi.json</a></p>
${operations.map(({ path, method, operation }) => operationOf(document, path, method, operation))}
${schemas.map(([name, schema]) => html`<section id="schema-${name}"><h2>${name}</h2>${typeOf(schema)}</section>`)}
</main><script nonce="${nonce}">${raw(SEARCH)}</script></body></html>`;
  return (await page).toString();
}
