// Shows how far a clip is: a bar that is rewritten in place on a terminal, a line for each change elsewhere.
import type { HeartbeatRequest } from "../../shared/contract/runner.ts";
import type { Stage } from "../../shared/states.ts";

export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const BAR_CELLS = 24;
const TO_LINE_START_AND_CLEAR = "\r\u001b[K";

const WORDS: Readonly<Record<Stage, string>> = {
  load: "loading the model",
  text_encode: "reading the prompt",
  denoise: "denoising",
  decode: "decoding",
  encode: "encoding",
  upload: "uploading",
};

function bar({ step, steps, fraction = steps === 0 ? 0 : step / steps }: HeartbeatRequest): string {
  const filled = Math.round(BAR_CELLS * fraction);
  return `[${"#".repeat(filled)}${".".repeat(BAR_CELLS - filled)}]`;
}

export class ProgressDisplay {
  readonly #stream: ProgressStream;
  #drawn = false;
  #lastLine = "";

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  readonly show = (progress: HeartbeatRequest): void => {
    const { stage, step, steps } = progress;
    const counted = steps > 1 ? ` ${step} of ${steps}` : "";
    if (!this.#stream.isTTY) {
      const line = `${WORDS[stage]}${counted}\n`;
      if (line !== this.#lastLine) this.#stream.write(line);
      this.#lastLine = line;
      return;
    }
    this.#stream.write(`${TO_LINE_START_AND_CLEAR}${bar(progress)} ${WORDS[stage]}${counted}`);
    this.#drawn = true;
  };

  /** Takes the bar away, so that what follows starts on a line of its own. */
  readonly clear = (): void => {
    if (this.#drawn) this.#stream.write(TO_LINE_START_AND_CLEAR);
    this.#drawn = false;
  };
}
