// One attempt at a clip, from the claim to its end: acknowledged, rendered, uploaded, completed; or failed,
// handed back, or dropped because the edge does not want it any more.
import type { Timings } from "../../shared/contract/clips.ts";
import type { Claim, CompleteRequest, HeartbeatRequest, OutputKind } from "../../shared/contract/runner.ts";
import { FIRST_OUTPUT_KINDS, OUTPUT_KINDS } from "../../shared/contract/runner.ts";
import { defaultSampling, type ModelOnDisk } from "../checkpoints/find.ts";
import type { EngineHost } from "../engine/host.ts";
import type { Failure, Outcome, Rendered } from "../engine/protocol.ts";
import type { Logger } from "../log.ts";
import { Backoff, type Clock } from "./clock.ts";
import { EdgeError } from "./edge-client.ts";
import { Heartbeats, LeaseEnded } from "./heartbeats.ts";
import { type Persistence, persist } from "./persist.ts";
import { type UploadTools, uploadOutput } from "./upload.ts";
import type { WorkFolder } from "./work-folder.ts";

export interface AttemptTimes {
  readonly heartbeatMs: number;
  readonly newsMs: number;
  /** Between tries of calls that must get through. */
  readonly retryMs: number;
  readonly maxRetryMs: number;
  /** How long a finished clip is kept for an edge that does not answer. */
  readonly giveUpMs: number;
}

export interface AttemptTools extends UploadTools {
  readonly engine: Pick<EngineHost, "render">;
  readonly models: ReadonlyMap<string, ModelOnDisk>;
  readonly workFolder: WorkFolder;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly times: AttemptTimes;
  /** "cpu/0.1.0": recorded with the clip. */
  readonly engineName: string;
  /** Folders of this host, which customers need not read about in an error. */
  readonly privateFolders: readonly string[];
}

export type AttemptEnd = "succeeded" | "failed" | "cancelled" | "lost" | "released";

/** The runner wants the clip back in the queue. */
export class ReleaseRequested extends Error {}

/** How often a file that the edge does not find is uploaded again. */
const MAX_UPLOAD_ROUNDS = 3;

export interface RunningAttempt {
  /** Resolves when the engine will be free in a moment, if it is known, or is free. */
  readonly nearlySampled: Promise<void>;
  /** Resolves when the engine is free for another clip, if it comes to that before the end, with what it took. */
  readonly sampled: Promise<Timings>;
  /** Never rejects for what the edge, the engine or the disk does. */
  readonly ended: Promise<AttemptEnd>;
}

/** `release` aborted hands the clip back. */
export function beginAttempt(tools: AttemptTools, claim: Claim, release: AbortSignal): RunningAttempt {
  const sampled = Promise.withResolvers<Timings>();
  const nearly = Promise.withResolvers<void>();
  const onSampled = (timings: Timings) => {
    nearly.resolve();
    sampled.resolve(timings);
  };
  const ended = new Attempt(tools, claim, release, { onNearlySampled: nearly.resolve, onSampled }).run();
  return { nearlySampled: nearly.promise, sampled: sampled.promise, ended };
}

interface AttemptNews {
  readonly onNearlySampled: () => void;
  readonly onSampled: (timings: Timings) => void;
}

/** A decoding that is this near its end is told, so that the next clip's way is not waited for. */
const NEARLY_MS = 2_000;

class Attempt {
  readonly #tools: AttemptTools;
  readonly #claim: Claim;
  readonly #token: string;
  readonly #release: AbortSignal;
  readonly #news: AttemptNews;
  readonly #log: Logger;
  readonly #heartbeats: Heartbeats;

  constructor(tools: AttemptTools, claim: Claim, release: AbortSignal, news: AttemptNews) {
    this.#tools = tools;
    this.#claim = claim;
    this.#token = claim.lease_token;
    this.#release = release;
    this.#news = news;
    this.#log = tools.log.child({ clip: claim.clip_id, attempt: claim.attempt });
    const { edge, clock, times } = tools;
    this.#heartbeats = new Heartbeats({
      ...{ edge, clock, token: this.#token, log: this.#log, backoff: this.#backoff() },
      ...{ heartbeatMs: times.heartbeatMs, newsMs: times.newsMs },
    });
  }

  async run(): Promise<AttemptEnd> {
    this.#log.info({ model: this.#claim.request.model }, "attempt begins");
    this.#heartbeats.start();
    let folder: string | undefined;
    let end: AttemptEnd;
    try {
      folder = await this.#tools.workFolder.forClip(this.#claim.clip_id);
      end = await this.#renderAndDeliver(folder);
    } catch (error) {
      end = await this.#endAfter(error);
    } finally {
      await this.#heartbeats.stop();
      await this.#tidy(folder);
    }
    this.#log.info({ end }, "attempt ends");
    return end;
  }

  async #renderAndDeliver(folder: string): Promise<AttemptEnd> {
    const outcome = await this.#render(folder);
    const unwanted = AbortSignal.any([this.#heartbeats.ended, this.#release]);
    unwanted.throwIfAborted();
    switch (outcome.kind) {
      case "rendered":
        await this.#deliver(outcome, unwanted);
        return "succeeded";
      case "failed":
        return this.#fail(outcome.failure);
      case "loaded":
      case "cancelled":
        // Neither was asked for: the engine process does not do what it is told.
        return this.#fail({ code: "internal", message: `the engine ${outcome.kind} unasked`, retryable: true });
    }
  }

  async #render(folder: string): Promise<Outcome> {
    const { request } = this.#claim;
    const model = this.#tools.models.get(request.model);
    if (model === undefined) {
      const message = `this runner does not have ${request.model}`;
      return { kind: "failed", failure: { code: "no_capacity", message, retryable: true } };
    }
    const signal = AbortSignal.any([this.#heartbeats.ended, this.#release]);
    const watch = this.#watchDecoding();
    const onProgress = (progress: HeartbeatRequest) => {
      watch(progress);
      this.#heartbeats.report(progress);
    };
    const sampling = defaultSampling(model);
    const { onSampled } = this.#news;
    return this.#tools.engine.render({ model, request, sampling, folder, onProgress, onSampled, signal });
  }

  /** Tells when the rest of the decoding will take but a moment, by what it has taken so far. */
  #watchDecoding(): (progress: HeartbeatRequest) => void {
    let began: number | undefined;
    return ({ stage, fraction = 0 }) => {
      if (stage === "denoise") began = this.#tools.clock.now();
      if (stage !== "decode" || began === undefined || fraction <= 0) return;
      const spent = this.#tools.clock.now() - began;
      if ((spent * (1 - fraction)) / fraction <= NEARLY_MS) this.#news.onNearlySampled();
    };
  }

  async #deliver(rendered: Rendered, signal: AbortSignal): Promise<void> {
    const began = this.#tools.clock.now();
    for (let round = 1; ; round++) {
      await this.#uploadAll(rendered, signal);
      const upload = (this.#tools.clock.now() - began) / 1_000;
      try {
        await this.#complete(rendered, upload);
        return;
      } catch (error) {
        const missing = error instanceof EdgeError && error.code === "upload_missing";
        if (!missing || round >= MAX_UPLOAD_ROUNDS) throw error;
        this.#log.warn({}, "the edge does not find an upload; uploading again");
      }
    }
  }

  async #uploadAll({ outputs }: Rendered, signal: AbortSignal): Promise<void> {
    const kinds = this.#wantedOutputs();
    for (const [done, kind] of kinds.entries()) {
      const report = (share: number) => {
        const steps = kinds.length;
        this.#heartbeats.report({ stage: "upload", step: done, steps, fraction: (done + share) / steps });
      };
      report(0);
      await persist(`upload of the ${kind}`, this.#persistence(signal), () =>
        uploadOutput(this.#tools, this.#token, { kind, output: outputs[kind], onSent: report }, signal),
      );
    }
  }

  #wantedOutputs(): readonly OutputKind[] {
    const wanted: readonly string[] = this.#claim.outputs ?? FIRST_OUTPUT_KINDS;
    return OUTPUT_KINDS.filter((kind) => wanted.includes(kind));
  }

  /**
   * A heartbeat that overtakes the answer to complete may find the lease gone because it has ended well, so
   * only complete's own answer counts here.
   */
  async #complete({ outputs, timings }: Rendered, upload: number): Promise<void> {
    const described = ({ bytes, md5, sha256 }: Rendered["outputs"]["mp4"]) => ({ bytes, md5, sha256 });
    const request: CompleteRequest = {
      outputs: {
        mp4: described(outputs.mp4),
        poster: described(outputs.poster),
        ...(this.#wantedOutputs().includes("preview") && { preview: described(outputs.preview) }),
      },
      timings: { ...timings, upload },
      engine: this.#tools.engineName,
      model_version: this.#tools.models.get(this.#claim.request.model)?.version,
    };
    await persist("complete", this.#persistence(this.#release), () =>
      this.#tools.edge.complete(this.#token, request, this.#release),
    );
  }

  /** Tells the edge about a failure; if it does not listen until the lease is over, the lease tells it. */
  async #fail(failure: Failure): Promise<AttemptEnd> {
    this.#log.error({ code: failure.code, retryable: failure.retryable, reason: failure.message }, "attempt failed");
    const message = this.#withoutFolders(failure.message).slice(0, 1_000);
    const signal = AbortSignal.any([this.#heartbeats.ended, this.#release]);
    await persist("fail", this.#persistence(signal), () =>
      this.#tools.edge.fail(this.#token, { ...failure, message }, signal),
    );
    return "failed";
  }

  async #endAfter(error: unknown): Promise<AttemptEnd> {
    const ended: unknown = this.#heartbeats.ended.reason;
    if (ended instanceof LeaseEnded) return ended.why;
    if (error instanceof EdgeError && error.kind === "lost") return "lost";
    if (this.#release.aborted) return this.#handBack();
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof EdgeError && error.code === "upload_rejected" ? "upload_rejected" : "internal";
    try {
      return await this.#fail({ code, message, retryable: true });
    } catch (failedToTell) {
      if (this.#heartbeats.ended.reason instanceof LeaseEnded) return this.#heartbeats.ended.reason.why;
      if (failedToTell instanceof EdgeError && failedToTell.kind === "lost") return "lost";
      if (this.#release.aborted) return this.#handBack();
      this.#log.error({ reason: String(failedToTell) }, "the edge could not be told; the lease will run out");
      return "failed";
    }
  }

  /** One try: the process is ending, and a lease that runs out does the same a little later. */
  async #handBack(): Promise<AttemptEnd> {
    try {
      await this.#tools.edge.release(this.#token, new AbortController().signal);
    } catch (error) {
      this.#log.warn({ reason: String(error) }, "the clip could not be handed back; its lease will run out");
    }
    return "released";
  }

  async #tidy(folder: string | undefined): Promise<void> {
    if (folder === undefined) return;
    try {
      await this.#tools.workFolder.remove(folder);
    } catch (error) {
      this.#log.warn({ reason: String(error) }, "a work folder could not be removed");
    }
  }

  #persistence(signal: AbortSignal): Persistence {
    const { clock, times } = this.#tools;
    return { clock, log: this.#log, backoff: this.#backoff(), signal, giveUpMs: times.giveUpMs };
  }

  #backoff(): Backoff {
    const { times, random } = this.#tools;
    return new Backoff(times.retryMs, times.maxRetryMs, random);
  }

  #withoutFolders(message: string): string {
    return this.#tools.privateFolders.reduce((text, folder) => text.replaceAll(`${folder}/`, ""), message);
  }
}
