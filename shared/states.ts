// A clip's life: queued -> leased -> running -> succeeded | failed | cancelled, and queued -> expired.
// A lease that runs out is an event on the clip, not a state; uploading is a stage of running.

export const CLIP_STATES = ["queued", "leased", "running", "succeeded", "failed", "cancelled", "expired"] as const;
export type ClipState = (typeof CLIP_STATES)[number];

export const TERMINAL_STATES = ["succeeded", "failed", "cancelled", "expired"] as const satisfies readonly ClipState[];
export type TerminalState = (typeof TERMINAL_STATES)[number];

export function isTerminal(state: ClipState): state is TerminalState {
  return (TERMINAL_STATES as readonly ClipState[]).includes(state);
}

/** What customers see: a leased clip has not started as far as they can tell. */
export const PUBLIC_STATES = ["queued", "running", "succeeded", "failed", "cancelled", "expired"] as const;
export type PublicState = (typeof PUBLIC_STATES)[number];

export function publicState(state: ClipState): PublicState {
  return state === "leased" ? "queued" : state;
}

/** Classes of an order: low gives way to normal and is still served. */
export const PRIORITIES = ["normal", "low"] as const;

/** The stages of a running attempt, in order. Only `denoise` counts steps. */
export const STAGES = ["load", "text_encode", "denoise", "decode", "encode", "upload"] as const;
export type Stage = (typeof STAGES)[number];
