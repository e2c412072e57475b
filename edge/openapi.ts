// The OpenAPI document, made from the routes, their schemas and the table of access. A deployment serves it, and
// docs/openapi.json is a copy of it.
import { LIMITS } from "../shared/contract/clips.ts";
import { KEY_LIMITS } from "../shared/contract/keys.ts";
import { DEFAULT_RATE_LIMITS, RATE_POLICIES } from "../shared/contract/rate-limits.ts";
import { API_VERSIONS, VERSION_HEADER } from "../shared/contract/version.ts";
import { ERRORS, type ErrorCode } from "../shared/errors.ts";
import type { EdgeApp } from "./context.ts";
import { ACCESS, type Access } from "./middleware/access.ts";

const RATES = RATE_POLICIES.map((policy) => {
  const { quota, windowS } = DEFAULT_RATE_LIMITS[policy];
  return `${policy} ${quota} in ${windowS} s`;
});

const DESCRIPTION = `Text to video, paid by the clip. Amounts are integer micro-dollars, times RFC 3339.

Limits of a request: ${LIMITS.headerBytes} bytes of headers, ${LIMITS.bodyBytes} bytes of body, ${LIMITS.promptCharacters} \
characters of prompt, ${LIMITS.idempotencyKeyCharacters} of Idempotency-Key, ${LIMITS.metadata.entries} entries of metadata \
(names of ${LIMITS.metadata.nameCharacters}, values of ${LIMITS.metadata.valueCharacters} characters). Limits of a list: \
${LIMITS.page.max} clips or ${KEY_LIMITS.page.max} keys a page. Requests, unless agreed otherwise: ${RATES.join(", ")}.`;

const DOCUMENT = {
  openapi: "3.1.0",
  info: {
    title: "turboclip",
    version: API_VERSIONS[0],
    description: DESCRIPTION,
    license: { name: "Apache-2.0", identifier: "Apache-2.0" },
  },
};

const versionParameter = {
  name: "Turboclip-Version",
  in: "header" as const,
  required: false,
  schema: { type: "string" as const, enum: [...API_VERSIONS] },
  description: `The dated version that you are written for; ${API_VERSIONS.at(-1) ?? ""} if absent`,
};

const header = (description: string, example: string) => ({
  description,
  schema: { type: "string" as const },
  example,
});
const ANSWER_HEADERS = {
  [VERSION_HEADER]: header("The version that the answer is by", API_VERSIONS[0]),
  "ratelimit-policy": header("draft-ietf-httpapi-ratelimit-headers-10", '"read";q=6000;w=60'),
  ratelimit: header("What is left of the quota, and the seconds until it is full again", '"read";r=5999;t=1'),
};
/** A refusal may come before the version is negotiated; what succeeds always names it. */
const SUCCESS_HEADERS = { [VERSION_HEADER]: { ...ANSWER_HEADERS[VERSION_HEADER], required: true } };
const REQUEST_ID = {
  "x-request-id": { ...header("Names the request in our logs", "req_01j9z3k4m5n6p7q8r9s0t1v2w3"), required: true },
};
/** Statuses that always say when to come back. */
const RETRIED_LATER = new Set(["429", "503"]);
const RETRY_AFTER = { "retry-after": { ...header("Seconds", "1"), required: true } };

interface Answer {
  description: string;
  content?: object;
  headers?: object;
}
interface Operation {
  tags?: string[];
  parameters?: { readonly in?: string }[];
  requestBody?: object;
  responses?: Record<string, Answer>;
  security?: object[];
}

/** Whether anything but the path, which answers not_found, is held to a schema. */
function isValidated({ parameters = [], requestBody }: Operation): boolean {
  const beside = parameters.filter((parameter) => parameter !== versionParameter && parameter.in !== "path");
  return requestBody !== undefined || beside.length > 0;
}

/** What any route with this access may answer before its own code runs. */
function refusedBefore(access: Access, operation: Operation): ErrorCode[] {
  return [
    ...(isValidated(operation) ? (["invalid_request"] as const) : []),
    "api_version_unknown",
    "unauthenticated",
    "key_revoked",
    "key_expired",
    "scope_missing",
    ...(access.browser === "never" ? [] : (["origin_not_allowed"] as const)),
    ...(operation.requestBody === undefined ? [] : (["body_too_large"] as const)),
    "rate_limited",
    "headers_too_large",
  ];
}

/** Each answer with our headers, and those that come from before the route. */
function completeAnswers(access: Access, operation: Operation): Record<string, Answer> {
  const responses = structuredClone(operation.responses ?? {});
  const content = responses[String(ERRORS.internal.status)]?.content ?? {};
  for (const code of refusedBefore(access, operation)) {
    const status = String(ERRORS[code].status);
    const known = responses[status];
    if (known === undefined) responses[status] = { description: code, content };
    else if (!known.description.split(", ").includes(code)) known.description += `, ${code}`;
  }
  for (const [status, answer] of Object.entries(responses)) {
    answer.headers = {
      ...answer.headers,
      ...REQUEST_ID,
      ...ANSWER_HEADERS,
      ...(Number(status) < 400 && SUCCESS_HEADERS),
      ...(RETRIED_LATER.has(status) && RETRY_AFTER),
    };
  }
  return responses;
}

function securityOf({ scope, browser }: Access): object[] {
  return [{ apiKey: [scope] }, ...(browser === "never" ? [] : [{ browserToken: [scope] }])];
}

/** What an address is about; in this order the document has them. */
const TAGS: readonly (readonly [tag: string, path: RegExp])[] = [
  ["Clips", /^\/v1\/(clips|files)\b/],
  ["Models", /^\/v1\/models\b/],
  ["Pictures", /^\/v1\/uploads\b/],
  ["OpenAI's clients", /^\/v1\/videos\b/],
  ["Webhooks", /^\/v1\/webhook-/],
  ["Triggers", /^(\/v1\/triggers|\/t)\b/],
  ["Money", /^\/v1\/(balance|balance-alert|limits|usage|ledger|statements|top-ups|auto-top-up)\b/],
  ["Keys", /^\/v1\/(keys|browser-tokens|audit-log)\b/],
  ["Chats", /^\/v1\/integrations\b/],
];

function tagOf(path: string): string {
  const found = TAGS.find(([, pattern]) => pattern.test(path));
  if (found === undefined) throw new Error(`edge/openapi.ts does not say what ${path} is about`);
  return found[0];
}

/** Grouped by what they are about; within a group as the app has them, but what is signed or posted last. */
function inOrder<P>(paths: Readonly<Record<string, P>>): Record<string, P> {
  const names = TAGS.map(([tag]) => tag);
  const placeOf = (path: string) => names.indexOf(tagOf(path)) * 2 + Number(/^\/(t|v1\/files)\//.test(path));
  return Object.fromEntries(Object.entries(paths).toSorted(([a], [b]) => placeOf(a) - placeOf(b)));
}

/** origin: where the API is served, like https://api.example.com. */
export function describeApi(app: EdgeApp, origin: string) {
  const tags = TAGS.map(([name]) => ({ name }));
  const document = app.getOpenAPI31Document({ ...DOCUMENT, servers: [{ url: origin }], tags });
  document.paths = inOrder(document.paths ?? {});
  for (const [path, item] of Object.entries(document.paths)) {
    for (const operation of Object.values(item as Record<string, Operation>)) operation.tags = [tagOf(path)];
  }
  for (const [name, access] of Object.entries(ACCESS)) {
    const [method = "", path = ""] = name.split(" ");
    const item = (document.paths?.[path] ?? {}) as Record<string, Operation>;
    const operation = item[method.toLowerCase()];
    if (operation === undefined) continue; // hidden from the document
    operation.parameters = [...(operation.parameters ?? []), versionParameter];
    operation.security = securityOf(access);
    operation.responses = completeAnswers(access, operation);
  }
  return document;
}
