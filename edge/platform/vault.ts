// Secrets at rest: AES-256-GCM with a fresh nonce each, as `<key id>.<base64 of nonce and ciphertext>`. The first key
// seals, all open; the context is authenticated with the text, so that a row that is moved to another owner does not open.
import { base64, fromBase64 } from "../services/encoding.ts";
import type { SigningKey, SigningKeys, Vault } from "../services/ports.ts";

const NONCE_BYTES = 12;
const utf8 = new TextEncoder();

async function importKey({ secret }: SigningKey): Promise<CryptoKey> {
  return await crypto.subtle.importKey("raw", secret, "AES-GCM", false, ["encrypt", "decrypt"]);
}

export function aesVault(keys: SigningKeys): Vault {
  return {
    async seal(text, context) {
      const [key] = keys;
      const iv = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
      const additionalData = utf8.encode(context);
      const algorithm = { name: "AES-GCM", iv, additionalData };
      const sealed = await crypto.subtle.encrypt(algorithm, await importKey(key), utf8.encode(text));
      return `${key.id}.${base64(new Uint8Array([...iv, ...new Uint8Array(sealed)]))}`;
    },
    async open(sealed, context) {
      const [id, text = ""] = sealed.split(".");
      const key = keys.find((candidate) => candidate.id === id);
      if (key === undefined) throw new Error(`ENCRYPTION_KEYS has no key ${id}, which sealed what is to be opened`);
      const bytes = fromBase64(text);
      if (bytes === null) throw new Error("what is to be opened is not base64");
      const iv = bytes.slice(0, NONCE_BYTES);
      const algorithm = { name: "AES-GCM", iv, additionalData: utf8.encode(context) };
      const opened = await crypto.subtle.decrypt(algorithm, await importKey(key), bytes.slice(NONCE_BYTES));
      return new TextDecoder().decode(opened);
    },
  };
}
