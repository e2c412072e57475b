// The models that an engine process holds: as many as fit, of which the least recently used goes when another needs its
// room. Whether it fits is the engine's to say, which plans by the files' headers before it reads a weight.

import type { EnginePaths } from "../../native/index.ts";
import { describePlan } from "../../native/plan.ts";
import type { ClipRequest } from "../../shared/contract/runner.ts";
import { findModel, parseSize } from "../../shared/models.ts";
import type { ModelFiles, Sampling } from "../checkpoints/find.ts";
import { loadTokenizer, type PromptTokenizer } from "../text/tokenizer.ts";
import { EngineFileError, nativeCode } from "./failures.ts";
import type { EngineBackend, LargestClip, LoadedEngine } from "./native.ts";

export interface LoadedModel {
  readonly id: string;
  readonly engine: LoadedEngine;
  readonly tokenizer: PromptTokenizer;
  /** What it takes of the device with its largest clip, in words, where that was planned. */
  readonly plan: string | undefined;
}

/** Told before a load begins. */
export type OnPlan = (model: string, plan: string) => void;

/** What a model's memory is planned for. */
export interface Expected {
  readonly request?: ClipRequest | undefined;
  readonly sampling?: Sampling | undefined;
}

/** As a clip that says nothing else is sampled. */
const USUAL = { attention: "sla", topkRatio: 0.1 } as const;

export class LoadedModels {
  readonly #backend: EngineBackend;
  readonly #threads: number;
  readonly #onPlan: OnPlan;
  /** The least recently used first. */
  readonly #models = new Map<string, LoadedModel>();

  constructor(backend: EngineBackend, threads: number, onPlan: OnPlan = () => {}) {
    this.#backend = backend;
    this.#threads = threads;
    this.#onPlan = onPlan;
  }

  has(id: string): boolean {
    return this.#models.has(id);
  }

  get(id: string): LoadedModel | undefined {
    return this.#models.get(id);
  }

  /** The model, loaded if it is not; others go, one by one, while it does not fit beside them. */
  async require(model: ModelFiles, expected: Expected): Promise<LoadedModel> {
    const found = this.#models.get(model.id);
    const loaded = found ?? (await this.#makeRoomAndLoad(model, expected));
    this.#models.delete(model.id);
    this.#models.set(model.id, loaded);
    return loaded;
  }

  /** Leaves only this one; whether there were others. */
  keepOnly(id: string): boolean {
    const others = [...this.#models.keys()].filter((other) => other !== id);
    for (const other of others) this.#drop(other);
    return others.length > 0;
  }

  async #makeRoomAndLoad(model: ModelFiles, expected: Expected): Promise<LoadedModel> {
    // umT5's has a quarter of a million pieces: it is read while the engine loads.
    const tokenizer = loadTokenizer(model.tokenizer);
    tokenizer.catch(() => {});
    const plans = plannedClips(model, expected);
    while (true) {
      const [oldest] = this.#models.keys();
      // Beside others a model must be wholly on the device; alone, some of it may come from the host's memory.
      const [largest] = plans;
      try {
        return await this.#load(model, tokenizer, { largest, whole: oldest !== undefined });
      } catch (error) {
        if (nativeCode(error) !== "out_of_memory") throw error;
        if (oldest !== undefined) this.#drop(oldest);
        else if (plans.length > 1) plans.shift();
        else throw error;
      }
    }
  }

  async #load(
    model: ModelFiles,
    reading: Promise<PromptTokenizer>,
    expected: { readonly largest: LargestClip | undefined; readonly whole: boolean },
  ): Promise<LoadedModel> {
    const { transformer, vae, textEncoder, tinyDecoder } = model;
    const paths = { transformer, vae, textEncoder, ...(tinyDecoder === undefined ? {} : { tinyDecoder }) };
    const plan = this.#plan(paths, expected);
    if (plan !== undefined) this.#onPlan(model.id, plan);
    const engine = await this.#backend.load(paths, { threads: this.#threads, ...expected });
    const tokenizer = await reading.catch((error: unknown) => {
      engine.free();
      throw error;
    });
    if (tokenizer.vocabularySize > engine.vocabulary) {
      engine.free();
      throw new EngineFileError(
        `${model.tokenizer} has ${tokenizer.vocabularySize} tokens, ${textEncoder} only ${engine.vocabulary}: ` +
          "they do not belong together",
      );
    }
    return { id: model.id, engine, tokenizer, plan };
  }

  /** In words, unless the load is about to be refused. */
  #plan(
    paths: EnginePaths,
    { largest: clip, whole }: { readonly largest: LargestClip | undefined; readonly whole: boolean },
  ): string | undefined {
    if (clip === undefined || this.#backend.plan === undefined) return undefined;
    const plan = this.#backend.plan(paths, { clip, whole });
    if (!plan.fits || (whole && plan.streamed > 0)) return undefined;
    return `a clip of ${clip.width}x${clip.height} and ${clip.frames} frames takes ${describePlan(plan)}`;
  }

  #drop(id: string): void {
    this.#models.get(id)?.engine.free();
    this.#models.delete(id);
  }
}

/** Clips to plan for, the largest that the model is sold for first; the last is the least that will do. */
function plannedClips(model: ModelFiles, { request, sampling }: Expected): (LargestClip | undefined)[] {
  const decoder = sampling?.decoder ?? (model.tinyDecoder === undefined ? "vae" : "taehv");
  const { attention, topkRatio } = sampling ?? USUAL;
  const settings = { attention, topkRatio, decoder };
  const asked = request === undefined ? undefined : { ...sizeOf(request), ...settings };
  const spec = findModel(model.id);
  const sold = (spec?.sizes ?? []).map((size) => ({ ...parseSize(size), frames: spec?.maxFrames ?? 1, ...settings }));
  const all = [...sold, ...(asked === undefined ? [] : [asked])];
  const largest = all.toSorted((a, b) => volume(b) - volume(a))[0];
  return largest === asked ? [asked] : [largest, asked];
}

function sizeOf({ width, height, frames }: ClipRequest) {
  return { width, height, frames };
}

function volume({ width, height, frames }: Pick<LargestClip, "width" | "height" | "frames">): number {
  return width * height * frames;
}
