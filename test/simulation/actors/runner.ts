// A runner's process, as the protocol has it, with everything that can happen to one: it dies at any step and
// starts again, freezes past its lease and wakes up as a zombie, hangs, fails, is told to stop, or is so broken
// that it goes on after it was told that its lease is lost.
import { createHash } from "node:crypto";
import type { Claim, CompleteRequest, HeartbeatRequest } from "../../../shared/contract/runner.ts";
import { FIRST_OUTPUT_KINDS, OUTPUT_TYPES } from "../../../shared/contract/runner.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import type { Random } from "../random.ts";
import type { File } from "../world/bucket.ts";
import type { Link, Reply } from "../world/network.ts";
import type { Kind, Requests } from "../world/operation.ts";
import type { World } from "../world/world.ts";

/** Of a runner from before previews, as edges go on to take. */
type OutputKind = (typeof FIRST_OUTPUT_KINDS)[number];

export interface RunnerIdentity {
  readonly id: RunnerId;
  readonly token: string;
  readonly models: readonly string[];
}

/** Leases that runners were given, for those who try with one that is not theirs. */
export type LeaseBook = string[];

class Died extends Error {}
class AttemptOver extends Error {}

const STEPS: readonly Pick<HeartbeatRequest, "stage" | "step">[] = [
  { stage: "load", step: 0 },
  { stage: "text_encode", step: 0 },
  { stage: "denoise", step: 1 },
  { stage: "denoise", step: 2 },
  { stage: "denoise", step: 3 },
  { stage: "decode", step: 0 },
  { stage: "encode", step: 0 },
];
const POLL_TIMEOUT_MS = 35_000;

export class Runner {
  readonly #world: World;
  readonly #identity: RunnerIdentity;
  readonly #random: Random;
  readonly #leases: LeaseBook;
  #stopped = false;
  readonly #link: Link;

  constructor(world: World, identity: RunnerIdentity, leases: LeaseBook) {
    this.#world = world;
    this.#identity = identity;
    this.#leases = leases;
    this.#random = world.random.fork();
    this.#link = world.link();
  }

  /** Takes no more clips; the one that runs is finished. */
  stop(): void {
    this.#stopped = true;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#poll();
      } catch (error) {
        if (!(error instanceof Died)) throw error;
        await this.#sleep(this.#random.between(500, 60_000));
      }
    }
  }

  async #poll(): Promise<void> {
    let nonce = this.#nonce();
    while (!this.#stopped) {
      const poll = {
        runner_id: this.#identity.id,
        nonce,
        models: [...this.#identity.models],
        loaded_model: this.#identity.models[0] ?? null,
        version: "0.1.0",
        wait_s: this.#random.pick([0, 5, 25, 25, 25]),
      };
      const reply = await this.#link.send("poll", { runner: this.#identity.token, poll }, POLL_TIMEOUT_MS);
      if (reply.kind !== "answer") {
        await this.#sleep(this.#random.between(200, 3_000));
        continue;
      }
      nonce = this.#nonce();
      if (reply.value === null) await this.#sleep(this.#random.between(50, 500));
      else await this.#attempt(reply.value);
    }
  }

  async #attempt(claim: Claim): Promise<void> {
    this.#leases.push(claim.lease_token);
    const attempt = new Attempt(this.#world, this.#identity, this.#random, this.#link, claim);
    if (this.#random.chance(0.06)) {
      this.#world.counters.add("stranger_came");
      await attempt.meddle(this.#random.pick(this.#leases));
    }
    try {
      await attempt.run();
    } catch (error) {
      if (!(error instanceof AttemptOver)) throw error;
    } finally {
      attempt.end();
    }
  }

  #nonce(): string {
    return `nonce-${createHash("md5").update(this.#random.bytes(8)).digest("hex").slice(0, 20)}`;
  }

  async #sleep(ms: number): Promise<void> {
    await this.#world.schedule.sleep(ms);
  }
}

/** One attempt of one process. */
class Attempt {
  readonly #world: World;
  readonly #identity: RunnerIdentity;
  readonly #random: Random;
  readonly #link: Link;
  readonly #claim: Claim;
  readonly #began: number;
  /** Its owner goes on whatever it is told. */
  readonly #stubborn: boolean;
  /** Of one step of the engine, at the most. */
  readonly #stepMs: number;
  #beat: HeartbeatRequest = { stage: "load", step: 0, steps: 0 };
  #over = false;
  #lost = false;
  #frozenUntilMs = 0;

  constructor(world: World, identity: RunnerIdentity, random: Random, link: Link, claim: Claim) {
    this.#world = world;
    this.#identity = identity;
    this.#random = random;
    this.#link = link;
    this.#claim = claim;
    this.#began = world.schedule.nowMs;
    this.#stepMs = random.pick([500, 1_500, 1_500, 8_000]);
    this.#stubborn = !world.faults.stopped && random.chance(0.05);
  }

  end(): void {
    this.#over = true;
  }

  async run(): Promise<void> {
    await this.#step();
    if (this.#world.fickle && !this.#world.faults.stopped && this.#random.chance(0.97)) {
      await this.#work(this.#random.between(200, 2_000));
      await this.#persist("release", this.#names());
      throw new AttemptOver();
    }
    await this.#heartbeat();
    void this.#keepBeating();
    for (const { stage, step } of STEPS) {
      await this.#step();
      this.#beat = { stage, step, steps: stage === "denoise" ? 3 : 0 };
      if (this.#random.chance(0.1)) void this.#heartbeat();
      await this.#work(this.#random.between(100, this.#stepMs));
      await this.#mishap();
    }
    const files = await this.#upload();
    await this.#step();
    await this.#persist("complete", { ...this.#names(), result: this.#result(files) });
    await this.#step();
  }

  /** Tries what it may not: to move an attempt that is another runner's or over long since. */
  async meddle(lease: string): Promise<void> {
    const names = { runner: this.#identity.token, lease };
    const failure = { code: "engine_crashed", message: "The engine process died.", retryable: false };
    switch (this.#random.weighted({ heartbeat: 2, uploads: 1, fail: 1, release: 1, complete: 2 })) {
      case "heartbeat":
        return void (await this.#link.send("heartbeat", { ...names, beat: { stage: "upload", step: 0, steps: 0 } }));
      case "uploads":
        return void (await this.#link.send("uploads", { ...names, upload: this.#uploadOf("mp4", this.#file("mp4")) }));
      case "fail":
        return void (await this.#link.send("fail", { ...names, failure }));
      case "release":
        return void (await this.#link.send("release", names));
      case "complete": {
        const files = { mp4: this.#file("mp4"), poster: this.#file("poster") };
        return void (await this.#link.send("complete", { ...names, result: this.#result(files) }));
      }
    }
  }

  /** A point at which the process may die or freeze, and notices what it was told. */
  async #step(): Promise<void> {
    const { faults } = this.#world;
    if (faults.strikes("runner_crashed")) {
      this.#over = true;
      throw new Died();
    }
    if (faults.strikes("runner_frozen")) this.#frozenUntilMs = this.#now() + this.#random.between(15_000, 90_000);
    await this.#thaw();
    if (this.#lost && !this.#stubborn) throw new AttemptOver();
  }

  async #mishap(): Promise<void> {
    const { faults } = this.#world;
    if (faults.strikes("engine_hung")) await this.#work(this.#world.times.stallMs + 60_000);
    if (faults.strikes("engine_failed")) {
      const retryable = this.#random.chance(0.7);
      const failure = { code: this.#random.pick(["engine_failed", "engine_crashed"]), message: "It broke.", retryable };
      await this.#persist("fail", { ...this.#names(), failure });
      throw new AttemptOver();
    }
    if (faults.strikes("runner_drained")) {
      await this.#persist("release", this.#names());
      throw new AttemptOver();
    }
  }

  async #upload(): Promise<Record<OutputKind, File>> {
    this.#beat = { stage: "upload", step: 0, steps: 0 };
    const files = { mp4: this.#file("mp4"), poster: this.#file("poster") };
    for (const kind of FIRST_OUTPUT_KINDS) {
      if (this.#world.faults.strikes("upload_forgotten")) continue;
      for (let stored = false; !stored; ) {
        await this.#step();
        const reply = await this.#persist("uploads", { ...this.#names(), upload: this.#uploadOf(kind, files[kind]) });
        if (reply.kind !== "answer") throw new AttemptOver();
        const { url, headers } = reply.value;
        await this.#step();
        const status = await this.#world.bucket.put(url, headers, files[kind]);
        stored = status === 200 || status === 412;
        if (status === 200 && this.#lost) this.#world.counters.add("object_of_lost_attempt");
        if (!stored) await this.#work(this.#random.between(100, 2_000));
      }
    }
    return files;
  }

  /** Repeats until there is an answer that stands, or the lease must be over. */
  async #persist<K extends Kind>(kind: K, request: Requests[K]): Promise<Reply<K>> {
    const giveUpMs = this.#now() + this.#world.times.leaseMs;
    for (;;) {
      await this.#step();
      const reply = await this.#link.send(kind, request);
      if (reply.kind === "answer") return reply;
      if (reply.kind === "refused" && reply.code === "lease_lost") this.#lost = true;
      if (reply.kind === "refused" || this.#now() >= giveUpMs) throw new AttemptOver();
      await this.#work(this.#random.between(200, 3_000));
    }
  }

  async #keepBeating(): Promise<void> {
    while (!this.#over && (!this.#lost || this.#stubborn)) {
      await this.#world.schedule.sleep(this.#world.times.heartbeatMs);
      await this.#thaw();
      if (!this.#over) await this.#heartbeat();
    }
  }

  async #heartbeat(): Promise<void> {
    const reply = await this.#link.send("heartbeat", { ...this.#names(), beat: this.#beat }, 4_000);
    if (reply.kind === "answer" && reply.value.cancel) this.#lost = true;
    if (reply.kind === "refused") this.#lost = true;
  }

  async #work(ms: number): Promise<void> {
    await this.#world.schedule.sleep(ms);
    await this.#thaw();
    if (this.#lost && !this.#stubborn) throw new AttemptOver();
  }

  async #thaw(): Promise<void> {
    while (this.#frozenUntilMs > this.#now()) await this.#world.schedule.sleep(this.#frozenUntilMs - this.#now());
  }

  #now(): number {
    return this.#world.schedule.nowMs;
  }

  #names() {
    return { runner: this.#identity.token, lease: this.#claim.lease_token };
  }

  /** Each process makes other bytes, so that no two can be taken for each other's. */
  #file(kind: OutputKind): File {
    const made = `${kind} ${this.#claim.lease_token} ${this.#identity.token} ${this.#began}`;
    return {
      bytes: 1_000 + (createHash("md5").update(made).digest()[0] ?? 0),
      md5: createHash("md5").update(made).digest("base64"),
      sha256: createHash("sha256").update(made).digest("hex"),
      madeUnder: this.#claim.lease_token,
    };
  }

  #uploadOf(kind: OutputKind, { bytes, md5 }: File) {
    return { kind, bytes, md5, type: OUTPUT_TYPES[kind] };
  }

  #result(files: Record<OutputKind, File>): CompleteRequest {
    const wrong = this.#world.faults.strikes("declared_wrongly");
    const declared = ({ bytes, md5, sha256 }: File) => ({ bytes: wrong ? bytes + 1 : bytes, md5, sha256 });
    const other = this.#world.faults.strikes("declared_wrongly") ? this.#file("poster").md5 : null;
    const mp4 = declared(files.mp4);
    return {
      outputs: { mp4: other === null ? mp4 : { ...mp4, md5: other }, poster: declared(files.poster) },
      timings: { denoise: 1 },
      engine: "cpu/0.1.0",
    };
  }
}
