// Servers of customers, as webhooks reach them through the port: each host answers as its test says, and every POST
// that arrives is kept with its headers and bytes.

import type { Lane } from "../../../db/schema.ts";
import type { Outbound, OutboundAnswer, OutboundPost, Outboxes, Resolver } from "../../../edge/services/ports.ts";

const OK: OutboundAnswer = { status: 204, retryAfter: null, body: "" };
export const answering = (status: number, retryAfter: string | null = null): (() => OutboundAnswer) => {
  return () => ({ status, retryAfter, body: `${status}` });
};

export class Receivers implements Outbound, Resolver {
  readonly received: OutboundPost[] = [];
  readonly addresses = new Map<string, readonly string[]>();
  readonly #behaviours = new Map<string, () => OutboundAnswer | Promise<OutboundAnswer>>();

  /** The host resolves to a public address and answers like this from now on; throwing is a broken connection. */
  host(name: string, behave: () => OutboundAnswer | Promise<OutboundAnswer> = () => OK): void {
    this.addresses.set(name, ["93.184.215.14", "2606:2800:21f:cb07::1"]);
    this.#behaviours.set(name, behave);
  }

  async post(request: OutboundPost): Promise<OutboundAnswer> {
    this.received.push(request);
    const behave = this.#behaviours.get(new URL(request.url).hostname);
    if (behave === undefined) throw new Error("connection refused");
    return await behave();
  }

  async resolve(host: string): Promise<readonly string[]> {
    const addresses = this.addresses.get(host);
    if (addresses === undefined) throw new Error("NXDOMAIN");
    return addresses;
  }

  at(host: string): OutboundPost[] {
    return this.received.filter(({ url }) => new URL(url).hostname === host);
  }
}

/** Wakes that services asked for; `lost` forgets them, as a crash between commit and wake would. */
export class RecordingOutboxes implements Outboxes {
  readonly woken: Lane[] = [];
  lost = false;

  async wake(lane: Lane): Promise<void> {
    if (!this.lost) this.woken.push(lane);
  }
}
