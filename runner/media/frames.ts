// A clip's frames as encoders take them: NV12, BT.709, limited range (native/engine/nv12.h). They may be on their way yet.

export interface FrameSize {
  readonly width: number;
  readonly height: number;
}

/** Luma, then Cb and Cr in turn for each 2 x 2 pixels. Both sides are even. */
export function frameBytes({ width, height }: FrameSize): number {
  return (width * height * 3) / 2;
}

export interface Frames extends FrameSize {
  /** All of them, one after the other. */
  readonly nv12: Buffer;
  readonly count: number;
}

/** Throws a RangeError unless the buffer holds just the frames. */
export function requireWhole(frames: Frames): void {
  const expected = frames.count * frameBytes(frames);
  if (frames.count < 1 || frames.nv12.length !== expected) {
    throw new RangeError(
      `${frames.count} frames of ${frames.width}x${frames.height} have ${expected} bytes, got ${frames.nv12.length}`,
    );
  }
}

export function eachFrame(frames: Frames): Uint8Array[] {
  const bytes = frameBytes(frames);
  return Array.from({ length: frames.count }, (_, i) => frames.nv12.subarray(i * bytes, (i + 1) * bytes));
}

/** Frames that are handed on in order as they come, to one reader. */
export class ArrivingFrames implements AsyncIterable<Uint8Array> {
  readonly #bytes: number;
  readonly #waiting: Uint8Array[] = [];
  #come = 0;
  #ended = false;
  #wake: () => void = () => {};

  constructor(size: FrameSize) {
    this.#bytes = frameBytes(size);
  }

  /** Frames up to `until` are in the buffer of all of them. */
  push(nv12: Buffer, until: number): void {
    if (until <= this.#come) return;
    this.#waiting.push(nv12.subarray(this.#come * this.#bytes, until * this.#bytes));
    this.#come = until;
    this.#wake();
  }

  /** No more come: all have, or they never will, and the reader is stopped by other means. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (true) {
      const next = this.#waiting.shift();
      if (next !== undefined) yield next;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
