// R2, as far as the edge and its runners rely on it: signed PUTs with exact headers that create and never
// overwrite, whole or not at all; and HEADs. Answers get lost, and so do uploads, in whole or half-way.
import type { ObjectStore, StoredObject, UploadSigner } from "../../../edge/services/ports.ts";
import type { Counters } from "../counters.ts";
import type { Faults } from "../faults.ts";
import type { Random } from "../random.ts";
import { currentOperation, type Operation } from "./operation.ts";
import type { Schedule } from "./schedule.ts";

/** A file by its properties; its bytes are nobody's concern here. */
export interface File {
  readonly bytes: number;
  readonly md5: string;
  readonly sha256: string;
  /** The lease under which it was made. */
  readonly madeUnder: string;
}

export interface StoredFile extends File {
  readonly etag: string;
  readonly storedAtMs: number;
}

interface SignedPut {
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly expiresAtMs: number;
}

export type PutStatus = 200 | 400 | 403 | 412 | 500 | "lost";

interface Tools {
  readonly schedule: Schedule;
  readonly random: Random;
  readonly faults: Faults;
  readonly counters: Counters;
  /** Told of every object that goes. */
  readonly removed: (operation: Operation, key: string) => void;
}

export class Bucket {
  readonly objects = new Map<string, StoredFile>();
  readonly #signed = new Map<string, SignedPut>();
  readonly #tools: Tools;

  constructor(tools: Tools) {
    this.#tools = tools;
  }

  readonly signer: UploadSigner = {
    signPut: async ({ key, headers, nowMs, validMs }) => {
      const url = `https://bucket.test/${key}?signature=${this.#signed.size}`;
      this.#signed.set(url, { key, headers, expiresAtMs: nowMs + validMs });
      return url;
    },
  };

  readonly store: ObjectStore = {
    head: async (key) => {
      const operation = currentOperation();
      const { faults, schedule, random } = this.#tools;
      await schedule.sleep(random.between(1, 20));
      if (faults.strikes("bucket_unreachable")) {
        operation.faults += 1;
        throw new Error("R2 did not answer: internal error (10001)");
      }
      const object = this.objects.get(key);
      return object === undefined
        ? null
        : ({ bytes: object.bytes, md5: object.md5, etag: object.etag } as StoredObject);
    },
    remove: async (keys) => {
      const operation = currentOperation();
      const { faults, schedule, random, removed } = this.#tools;
      await schedule.sleep(random.between(1, 20));
      const before = faults.strikes("bucket_unreachable");
      const after = !before && faults.strikes("bucket_answer_lost");
      for (const key of before ? [] : keys) if (this.objects.delete(key)) removed(operation, key);
      if (!before && !after) return;
      operation.faults += 1;
      throw new Error("R2 did not answer: internal error (10001)");
    },
    read: async (key) => (this.objects.has(key) ? new ReadableStream<Uint8Array>() : null),
  };

  /** A runner's PUT. */
  async put(url: string, headers: Readonly<Record<string, string>>, file: File): Promise<PutStatus> {
    const { faults, schedule, random } = this.#tools;
    await schedule.sleep(random.between(5, 3_000));
    if (faults.strikes("upload_lost")) return "lost";
    if (faults.strikes("upload_partial")) return 400; // R2 keeps nothing of a body that ends early
    const status = this.#store(url, headers, file);
    return faults.strikes("upload_answer_lost") ? "lost" : status;
  }

  #store(url: string, headers: Readonly<Record<string, string>>, file: File): PutStatus {
    const { nowMs } = this.#tools.schedule;
    const signed = this.#signed.get(url);
    if (signed === undefined || signed.expiresAtMs <= nowMs) return 403;
    const same = Object.entries(signed.headers).every(([name, value]) => headers[name] === value);
    if (!same) return 403;
    if (headers["content-length"] !== String(file.bytes) || headers["content-md5"] !== file.md5) return 400;
    if (headers["if-none-match"] === "*" && this.objects.has(signed.key)) {
      this.#tools.counters.add("upload_repeated");
      return 412;
    }
    this.objects.set(signed.key, { ...file, etag: `"${file.md5}"`, storedAtMs: nowMs });
    return 200;
  }
}
