// Real runner processes that the soak kills, freezes and starts again under the same identity. A runner that ends by
// itself, such as one whose engine is killed before it was ever ready, is started again as a supervisor would.
import { createRunner, type RunnerIdentity } from "../../scripts/local/account.ts";
import type { Edge } from "../../scripts/local/edge.ts";
import { findEngine } from "../../scripts/local/processes.ts";
import { startRunner } from "../../scripts/local/runner.ts";
import type { Service } from "../../scripts/local/service.ts";

export interface FleetOptions {
  readonly edge: Edge;
  /** What the runners dial: a proxy before the edge. */
  readonly origin: string;
  readonly home: string;
  readonly modelsDir: string;
  readonly size: number;
}

export class Member {
  readonly #name: string;
  readonly #options: FleetOptions;
  readonly #identity: RunnerIdentity;
  #service: Service;
  #leaving = false;

  private constructor(name: string, options: FleetOptions, identity: RunnerIdentity) {
    this.#name = name;
    this.#options = options;
    this.#identity = identity;
    this.#service = this.#start();
  }

  static async join(name: string, options: FleetOptions): Promise<Member> {
    return new Member(name, options, await createRunner(options.edge, name));
  }

  #start(): Service {
    const { home, modelsDir, origin } = this.#options;
    const service = startRunner({ home, modelsDir, name: this.#name, edgeOrigin: origin, identity: this.#identity });
    void this.#supervise(service);
    return service;
  }

  async #supervise(service: Service): Promise<void> {
    await service.ended();
    if (!this.#leaving) this.#service = this.#start();
  }

  get id(): string {
    return this.#identity.runnerId;
  }

  /** Its supervisor starts it again. */
  async killAndRestart(): Promise<void> {
    await this.#service.kill();
  }

  /** Ends the engine process alone; false where none is running just now. */
  killEngine(): boolean {
    const engine = findEngine(this.#service.group);
    if (engine === undefined) return false;
    process.kill(engine.pid, "SIGKILL");
    return true;
  }

  /** Control and engine stand still for as long. */
  async freeze(wait: Promise<unknown>): Promise<void> {
    const { group } = this.#service;
    process.kill(-group, "SIGSTOP");
    await wait;
    process.kill(-group, "SIGCONT");
  }

  async kill(): Promise<void> {
    this.#leaving = true;
    await this.#service.kill();
  }
}
