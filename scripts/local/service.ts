// A program that a local command starts beside itself (the edge, a runner): its output in a log file, its
// whole process group ended with it or with us, and its early death told as an error with the log's end.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { processes } from "./processes.ts";

const GUARD = join(import.meta.dirname, "guard.mjs");

/** Killed processes go within moments; one that the system cannot end is not waited for. */
const GONE_WITHIN_MS = 5_000;

/** Without the dead that wait for their burial; a system that has no /proc is taken at its leader's word. */
function groupRuns(group: number): boolean {
  return existsSync("/proc/self") && processes().some((one) => one.group === group);
}

export interface ServiceOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
}

export class Service {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  #stopping = false;

  private constructor(name: string, child: ChildProcess, logFile: string) {
    this.name = name;
    this.#child = child;
    this.#logFile = logFile;
  }

  static start(options: ServiceOptions): Service {
    const log = openSync(options.logFile, "a", 0o600);
    const child = spawn(process.execPath, [GUARD, options.command, ...options.args], {
      cwd: options.cwd,
      env: options.env,
      detached: true,
      stdio: ["pipe", log, log],
    });
    closeSync(log);
    return new Service(options.name, child, options.logFile);
  }

  /** The process group that holds the service and all that it started. */
  get group(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} did not start`);
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when the service has ended, however that went. */
  async ended(): Promise<void> {
    if (this.running) await once(this.#child, "exit");
  }

  /** The last lines that the service wrote. */
  logTail(lines = 15): string {
    return readFileSync(this.#logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  }

  /** Asks again and again until `ready` says yes; fails when the service ends or the time is up. */
  async waitUntil(what: string, timeoutMs: number, ready: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      if (!this.running && !this.#stopping) throw new Error(`${this.name} ended before ${what}:\n${this.logTail()}`);
      if (await ready()) return;
      if (Date.now() > deadline) throw new Error(`${this.name}: not ${what} after ${timeoutMs} ms:\n${this.logTail()}`);
      await delay(25);
    }
  }

  /** Ends the service politely and waits until its processes are gone. */
  async stop(): Promise<void> {
    await this.#end(() => this.#child.kill("SIGTERM"));
  }

  /** Ends every process of the service at once, as a power cut would. */
  async kill(): Promise<void> {
    await this.#end(() => process.kill(-this.group, "SIGKILL"));
  }

  async #end(signal: () => void): Promise<void> {
    this.#stopping = true;
    if (!this.running) return;
    signal();
    await once(this.#child, "exit");
    // The group's leader is gone; what it has killed with itself may still be on its way out.
    for (const deadline = Date.now() + GONE_WITHIN_MS; groupRuns(this.group) && Date.now() < deadline; ) await delay(5);
  }
}
