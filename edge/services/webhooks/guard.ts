// Where webhooks may go: only to public servers. Asked when a URL is given and again before each attempt, because names
// change; what then remains is in docs/security.md.
import { ApiError } from "../../../shared/errors.ts";
import type { Ports } from "../ports.ts";
import { isPublicAddress, parseV4 } from "./addresses.ts";

/** Names that mean a machine or a network of the server itself (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal). */
const PRIVATE_SUFFIXES = ["localhost", "local", "internal", "home.arpa", "lan", "onion"];
const HTTPS_PORT = 443;
const FIRST_UNPRIVILEGED_PORT = 1024;

type Source = Pick<Ports, "resolver" | "trustedHosts" | "publicOrigin">;

/** The normalised URL, by its form alone. Throws invalid_request with what is wrong with it. */
function parseTarget(
  { trustedHosts, publicOrigin }: Pick<Ports, "trustedHosts" | "publicOrigin">,
  text: string,
  pointer: string,
): URL {
  const refuse = (detail: string) => new ApiError("invalid_request", detail, pointer);
  if (!URL.canParse(text)) throw refuse("The webhook URL is not a URL.");
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") throw refuse("A webhook URL has no user name or password.");
  // A clip's end that is posted to a trigger orders the next clip, and so on without end.
  if (url.host === new URL(publicOrigin).host)
    throw refuse("A webhook URL leads to another server than turboclip's own.");
  const trusted = trustedHosts.has(url.hostname);
  if (url.protocol !== "https:" && !(trusted && url.protocol === "http:")) {
    throw refuse("A webhook URL begins with https://.");
  }
  if (trusted) return url;
  const port = url.port === "" ? HTTPS_PORT : Number(url.port);
  if (port !== HTTPS_PORT && port < FIRST_UNPRIVILEGED_PORT) {
    throw refuse(`A webhook URL has port ${HTTPS_PORT}, or one from ${FIRST_UNPRIVILEGED_PORT} on; not ${port}.`);
  }
  const literal = literalAddress(url.hostname);
  if (literal === null ? isPrivateName(url.hostname) : !isPublicAddress(literal)) {
    throw refuse("A webhook URL leads to a public server; this one names a private host or address.");
  }
  return url;
}

function literalAddress(hostname: string): string | null {
  if (hostname.startsWith("[")) return hostname.slice(1, -1);
  return parseV4(hostname) === null ? null : hostname;
}

function isPrivateName(hostname: string): boolean {
  const labels = hostname.replace(/\.$/, "").split(".");
  if (labels.length < 2) return true;
  const name = labels.join(".");
  return PRIVATE_SUFFIXES.some((suffix) => name === suffix || name.endsWith(`.${suffix}`));
}

/** Throws invalid_request if the URL must not be posted to, or its name does not resolve now. */
export async function checkTarget(ports: Source, text: string, pointer: string): Promise<string> {
  const url = parseTarget(ports, text, pointer);
  if (ports.trustedHosts.has(url.hostname) || literalAddress(url.hostname) !== null) return url.href;
  let addresses: readonly string[];
  try {
    addresses = await ports.resolver.resolve(url.hostname);
  } catch {
    throw new ApiError("invalid_request", "The host of the webhook URL could not be resolved.", pointer);
  }
  if (addresses.length === 0) {
    throw new ApiError("invalid_request", "The host of the webhook URL has no address.", pointer);
  }
  if (!addresses.every(isPublicAddress)) {
    throw new ApiError("invalid_request", "The host of the webhook URL has a private address.", pointer);
  }
  return url.href;
}
