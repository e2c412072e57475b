// Customers' own servers and their names, as webhooks meet them: hosts that answer well, late, never, or that it is
// enough; that drop the connection before or after the work; whose names turn private.
import type { Outbound, OutboundAnswer, OutboundPost, Resolver } from "../../../edge/services/ports.ts";
import type { EventId } from "../../../shared/ids.ts";
import type { Fault, Faults } from "../faults.ts";
import type { Random } from "../random.ts";
import { never } from "./database.ts";
import { currentOperation, type Operation } from "./operation.ts";
import type { Schedule } from "./schedule.ts";

const CHARACTERS = {
  /** Answers at once, but for the faults. */
  prompt: 52,
  /** Answers 500, for good. */
  broken: 12,
  /** Takes what comes and never answers. */
  slow: 20,
  /** Answers 500 for a while. */
  recovering: 12,
  /** Says at some time that it is gone. */
  leaving: 4,
} as const;
export type Character = keyof typeof CHARACTERS;

interface Host {
  readonly character: Character;
  /** Names that a create asks for never fail: what a create is refused for is judged without them. */
  readonly steadyName: boolean;
  readonly recoversAtMs: number;
  privateUntilMs: number;
  /** Messages that it has answered with a success. */
  readonly accepted: Set<string>;
}

interface Receiver {
  readonly prompt: boolean;
  readonly isPrivate: boolean;
  readonly repeated: boolean;
}

/** What a receiver's part of one attempt was, for the auditor. */
export interface Heard {
  readonly status: number;
  readonly retryAfter: string | null;
}

interface Tools {
  readonly schedule: Schedule;
  readonly random: Random;
  readonly faults: Faults;
  /** A request has come to the server. */
  readonly arrived: (operation: Operation, post: OutboundPost, to: Receiver) => void;
  /** Its answer has come to the edge. */
  readonly heard: (operation: Operation, messageId: string, answer: Heard) => void;
}

const PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07::1"];
const PRIVATE = ["93.184.215.14", "169.254.169.254"];
const RECOVERY_MS = [60_000, 3_600_000, 40 * 3_600_000] as const;
const REMEMBERED = 200;

/** fault -> how the server answers. */
const ANSWERS: readonly (readonly [Fault, (random: Random, nowMs: number) => Heard])[] = [
  ["receiver_gone", () => ({ status: 410, retryAfter: null })],
  ["receiver_redirects", () => ({ status: 302, retryAfter: null })],
  ["receiver_limits", (random) => ({ status: 429, retryAfter: String(random.pick([1, 30, 400, 7_200])) })],
  [
    "receiver_unavailable",
    (random, nowMs) => ({
      status: 503,
      retryAfter: new Date(nowMs + random.pick([-5_000, 20_000, 900_000, 3 * 86_400_000])).toUTCString(),
    }),
  ],
];

export class Receivers implements Outbound, Resolver {
  /** Ids of messages that came lately, for whoever wants one replayed. */
  readonly seen: EventId[] = [];
  readonly #hosts = new Map<string, Host>();
  readonly #tools: Tools;

  constructor(tools: Tools) {
    this.#tools = tools;
  }

  /** A new server; its URL. */
  open(character: Character = this.#tools.random.weighted(CHARACTERS), steadyName = false): string {
    const { random, schedule } = this.#tools;
    const name = `h${this.#hosts.size}.hooks.test`;
    const recoversAtMs = schedule.nowMs + random.pick(RECOVERY_MS);
    this.#hosts.set(name, { character, steadyName, recoversAtMs, privateUntilMs: 0, accepted: new Set() });
    return `https://${name}/turboclip`;
  }

  readonly resolve = async (name: string): Promise<readonly string[]> => {
    const { schedule, random, faults } = this.#tools;
    const operation = currentOperation();
    await schedule.sleep(random.between(1, 40));
    if (operation.dead) return await never();
    const host = this.#hostOf(name);
    if (!host.steadyName && faults.strikes("name_unresolved")) {
      operation.faults += 1;
      throw new Error("DNS over HTTPS answered 502");
    }
    this.#mayTurnPrivate(host);
    if (host.privateUntilMs <= schedule.nowMs) return PUBLIC;
    operation.faults += 1;
    return PRIVATE;
  };

  readonly post = async (post: OutboundPost): Promise<OutboundAnswer> => {
    const { schedule, random, faults, arrived, heard } = this.#tools;
    const operation = currentOperation();
    if (operation.dead || this.#dies(operation)) return await never();
    const host = this.#hostOf(new URL(post.url).hostname);
    const prompt = host.character === "prompt";
    const isPrivate = host.privateUntilMs > schedule.nowMs;
    const messageId = post.headers["webhook-id"] ?? "";
    if (faults.strikes("receiver_resets")) throw new TypeError("fetch failed: ECONNRESET");
    arrived(operation, post, { prompt, isPrivate, repeated: host.accepted.has(messageId) });
    this.#remember(messageId as EventId);
    await schedule.sleep(random.between(1, 80));
    if (operation.dead || this.#dies(operation)) return await never();
    // Before whoever looks next: what was looked up once is not to be relied upon.
    this.#mayTurnPrivate(host);
    const answer = this.#answer(host);
    if (answer !== null && answer.status < 300) host.accepted.add(messageId);
    // Done, and the edge never learns of it: it has to be sent again.
    if (faults.strikes("receiver_answer_lost")) throw new TypeError("fetch failed: ECONNRESET");
    if (answer === null) {
      await schedule.sleep(post.timeoutMs);
      if (operation.dead) return await never();
      throw new DOMException("The operation was aborted due to timeout", "TimeoutError");
    }
    heard(operation, messageId, answer);
    return { ...answer, body: "" };
  };

  #mayTurnPrivate(host: Host): void {
    const { faults, random, schedule } = this.#tools;
    if (host.steadyName || !faults.strikes("name_turns_private")) return;
    host.privateUntilMs = schedule.nowMs + random.between(1_000, 60_000);
  }

  #hostOf(name: string): Host {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`nobody is at ${name}`);
    return host;
  }

  /** The isolate dies while it waits for the answer: between sending and writing down how it went. */
  #dies(operation: Operation): boolean {
    if (!this.#tools.faults.strikes("edge_killed")) return false;
    operation.dead = true;
    operation.onDeath();
    return true;
  }

  /** null: none in time, be it that nothing comes or that it comes drop by drop. */
  #answer({ character, recoversAtMs }: Host): Heard | null {
    const { faults, random, schedule } = this.#tools;
    for (const [fault, answer] of ANSWERS) if (faults.strikes(fault)) return answer(random, schedule.nowMs);
    if (faults.strikes("receiver_silent") || faults.strikes("receiver_drips")) return null;
    if (character === "slow") return null;
    if (character === "leaving" && random.chance(0.2)) return { status: 410, retryAfter: null };
    const isBroken = character === "broken" || (character === "recovering" && recoversAtMs > schedule.nowMs);
    return { status: isBroken ? 500 : random.pick([200, 202, 204]), retryAfter: null };
  }

  #remember(messageId: EventId): void {
    this.seen.push(messageId);
    if (this.seen.length > REMEMBERED) this.seen.shift();
  }
}
