// The part of the client that manages API keys and makes browser tokens; its key needs the scope keys:write, or for
// tokens clips:write.
import {
  type ApiKey,
  type ApiKeyPage,
  apiKeyPageSchema,
  apiKeySchema,
  type BrowserToken,
  browserTokenSchema,
  type ChangeApiKey,
  type CreateApiKey,
  type CreateBrowserTokenInput,
  type IssuedApiKey,
  issuedApiKeySchema,
  type RotateApiKey,
} from "../shared/contract/keys.ts";
import { type Connection, NO_CONTENT } from "./http.ts";

interface CallOptions {
  readonly signal?: AbortSignal;
}

export class KeysClient {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The account's keys, newest first, revoked and expired ones too, fetched a page at a time as they are asked for. */
  async *list({ signal }: CallOptions = {}): AsyncGenerator<ApiKey, void> {
    let query = "";
    for (;;) {
      const path = `/v1/keys${query}`;
      const page: ApiKeyPage = await this.#connection.call({ method: "GET", path, answer: apiKeyPageSchema, signal });
      yield* page.data;
      if (page.next === null) return;
      query = `?after=${page.next}`;
    }
  }

  get(id: string, { signal }: CallOptions = {}): Promise<ApiKey> {
    return this.#connection.call({ method: "GET", path: pathOf(id), answer: apiKeySchema, signal });
  }

  /** Sent once: repeated after a lost answer, it would leave a key behind that nobody has the secret of. */
  create(input: CreateApiKey, { signal }: CallOptions = {}): Promise<IssuedApiKey> {
    const call = { method: "POST", path: "/v1/keys", body: input, answer: issuedApiKeySchema, signal } as const;
    return this.#connection.callOnce(call);
  }

  /** What is left out stays as it is. */
  change(id: string, input: ChangeApiKey, { signal }: CallOptions = {}): Promise<ApiKey> {
    return this.#connection.call({ method: "PATCH", path: pathOf(id), body: input, answer: apiKeySchema, signal });
  }

  /** The secrets so far stay good for `overlap_seconds`, a day if absent. Sent once: each repeat would be another secret. */
  rotate(id: string, input: RotateApiKey = {}, { signal }: CallOptions = {}): Promise<IssuedApiKey> {
    const path = `${pathOf(id)}/rotate`;
    return this.#connection.callOnce({ method: "POST", path, body: input, answer: issuedApiKeySchema, signal });
  }

  /** For good. Revoking it again changes nothing. */
  async revoke(id: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#connection.call({ method: "DELETE", path: pathOf(id), answer: NO_CONTENT, signal });
  }

  /** For scripts of your pages; make it on your server, where the key stays. */
  createBrowserToken(input: CreateBrowserTokenInput, { signal }: CallOptions = {}): Promise<BrowserToken> {
    const path = "/v1/browser-tokens";
    return this.#connection.call({ method: "POST", path, body: input, answer: browserTokenSchema, signal });
  }
}

function pathOf(id: string): string {
  return `/v1/keys/${encodeURIComponent(id)}`;
}
