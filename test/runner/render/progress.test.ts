import { expect, test } from "vitest";
import { ProgressDisplay, type ProgressStream } from "../../../runner/render/progress.ts";

function stream(isTTY: boolean): ProgressStream & { text: string } {
  return {
    isTTY,
    text: "",
    write(text) {
      this.text += text;
    },
  };
}

test("on a terminal a bar is rewritten in place, and taken away at the end", () => {
  const terminal = stream(true);
  const display = new ProgressDisplay(terminal);
  display.show({ stage: "load", step: 0, steps: 1 });
  display.show({ stage: "denoise", step: 1, steps: 4 });
  display.show({ stage: "denoise", step: 1, steps: 4, fraction: 0.5 });
  display.show({ stage: "denoise", step: 4, steps: 4 });
  display.clear();
  display.clear();
  expect(terminal.text.split("\r\u001b[K")).toEqual([
    "",
    `[${".".repeat(24)}] loading the model`,
    `[${"#".repeat(6)}${".".repeat(18)}] denoising 1 of 4`,
    `[${"#".repeat(12)}${".".repeat(12)}] denoising 1 of 4`,
    `[${"#".repeat(24)}] denoising 4 of 4`,
    "",
  ]);
});

test("elsewhere each change is a line of its own, said once", () => {
  const pipe = stream(false);
  const display = new ProgressDisplay(pipe);
  display.show({ stage: "text_encode", step: 0, steps: 1 });
  display.show({ stage: "text_encode", step: 1, steps: 1 });
  display.show({ stage: "decode", step: 2, steps: 9 });
  display.clear();
  expect(pipe.text).toBe("reading the prompt\ndecoding 2 of 9\n");
});
