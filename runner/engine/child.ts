// One engine process as the control process sees it: started, ready, sent commands, ended. host.ts keeps one
// alive over crashes.
import { type ChildProcess, fork } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { type Command, type EngineEvent, eventSchema } from "./protocol.ts";

export interface EngineChildOptions {
  /** The file that Node runs: engine/main.ts, or a test's stand-in. */
  readonly entry: string;
  readonly env: NodeJS.ProcessEnv;
  /** Each line that the process prints: warnings of libraries, an abort's last words. */
  readonly onLine: (line: string) => void;
  readonly onEvent: (event: EngineEvent) => void;
  /** Called once, with how it ended in words. */
  readonly onExit: (how: string) => void;
}

const KEPT_LINES = 5;
const STOP_MS = 3_000;
const LAST_WORDS_MS = 500;

/** Secrets of the control process that the engine has no use for. */
const WITHHELD = ["TURBOCLIP_RUNNER_TOKEN"] as const;

export class EngineChild {
  readonly #child: ChildProcess;
  readonly #lastLines: string[] = [];
  #ended = false;
  readonly #exited: Promise<void>;

  constructor(options: EngineChildOptions) {
    const env = { ...options.env };
    for (const name of WITHHELD) delete env[name];
    this.#child = fork(options.entry, [], {
      env,
      execArgv: [],
      serialization: "advanced",
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#readLines(this.#child.stdout, options.onLine);
    this.#readLines(this.#child.stderr, options.onLine);
    this.#child.on("message", (message) => {
      const event = eventSchema.safeParse(message);
      if (event.success) options.onEvent(event.data);
      else this.#kill(); // it is not what we started any more
    });
    this.#exited = new Promise((resolve) => {
      const end = (how: string) => {
        if (this.#ended) return;
        this.#ended = true;
        resolve();
        options.onExit(how);
      };
      this.#child.once("error", (error) => end(`the engine process could not be started: ${error.message}`));
      // Not `close`: Node does not emit it once we have closed the channel ourselves.
      this.#child.once("exit", (code, signal) => {
        void this.#outputEnded().then(() => end(this.#describeExit(code, signal)));
      });
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Lost commands are told by the exit that follows. */
  send(command: Command): void {
    if (this.#child.connected) this.#child.send(command, () => {});
  }

  /** Asks it to end by closing the channel, then makes it. */
  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#kill(), STOP_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  /** For a process that does not answer any more. */
  kill(): void {
    this.#kill();
  }

  #kill(): void {
    this.#child.kill("SIGKILL");
  }

  #readLines(stream: Readable | null, onLine: (line: string) => void): void {
    if (stream === null) return;
    createInterface({ input: stream }).on("line", (line) => {
      this.#lastLines.push(line);
      if (this.#lastLines.length > KEPT_LINES) this.#lastLines.shift();
      onLine(line);
    });
  }

  /** Its last words may arrive after its end. */
  async #outputEnded(): Promise<void> {
    const streams = [this.#child.stdout, this.#child.stderr].filter((stream) => stream !== null);
    const ended = Promise.allSettled(streams.map((stream) => finished(stream)));
    await Promise.race([ended, delay(LAST_WORDS_MS, undefined, { ref: false })]);
  }

  #describeExit(code: number | null, signal: NodeJS.Signals | null): string {
    const how = signal === null ? `ended with status ${code}` : `was ended by ${signal}`;
    const said = this.#lastLines.length === 0 ? "" : `; its last words: ${this.#lastLines.join(" | ")}`;
    return `the engine process ${how}${said}`;
  }
}
