// How much of its time an engine computes while there is work for it: the figure that falls when a card waits for
// something.
import type { Timings } from "../../shared/contract/clips.ts";

/** Seconds of a clip in which the engine computed; loading a model, encoding and uploading are not among them. */
export function computeSeconds({ text_encode = 0, denoise = 0, decode = 0 }: Timings): number {
  return text_encode + denoise + decode;
}

/** Of 1; 0 where no time has passed. */
export function busyShare(busySeconds: number, wallSeconds: number): number {
  return wallSeconds <= 0 ? 0 : Math.min(1, busySeconds / wallSeconds);
}

export interface Use {
  readonly clips: number;
  readonly busySeconds: number;
  readonly wallSeconds: number;
  readonly share: number;
}

const KEPT_CLIPS = 50;

/**
 * Over an engine's last clips. A clip's time runs from when there was work for the engine to its frames: from the frames
 * of the clip before, if the next one was asked for and given at once, or from when it came.
 */
export class EngineUse {
  readonly #clips: { readonly busy: number; readonly wall: number }[] = [];

  add(busySeconds: number, wallSeconds: number): Use {
    this.#clips.push({ busy: busySeconds, wall: wallSeconds });
    if (this.#clips.length > KEPT_CLIPS) this.#clips.shift();
    const sum = (of: "busy" | "wall") => this.#clips.reduce((all, clip) => all + clip[of], 0);
    const [busy, wall] = [sum("busy"), sum("wall")];
    return { clips: this.#clips.length, busySeconds: busy, wallSeconds: wall, share: busyShare(busy, wall) };
  }
}
