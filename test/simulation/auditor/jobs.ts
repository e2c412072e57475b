// Which transitions of a clip each operation may make, what each must write beside it, and what it must leave as
// it was. Judged at every commit, from the rows alone.
import type { Times } from "../../../edge/services/ports.ts";
import type { Operation, Requests } from "../world/operation.ts";
import type { Change, Commit } from "./history.ts";
import { type ClipRow, ENDED, type EventRow, type State } from "./rows.ts";
import { must } from "./violation.ts";

/** What the auditor must know beside the rows. */
export interface JobsContext {
  readonly times: Times;
  readonly nowMs: number;
  /** The account that an API key belongs to. */
  readonly accountOf: (key: string) => string | null;
  readonly runnerOf: (token: string) => string | null;
  readonly leasesSeen: Set<string>;
  /** The latest end of each lease that its runner was told of. */
  readonly promised: ReadonlyMap<string, number>;
  readonly isDrained: (runnerId: string) => boolean;
  /** Judges whether it was this clip's turn. */
  readonly taken: (clip: ClipRow, nowMs: number) => void;
  readonly isTimed: (untilMs: number) => boolean;
  readonly isStored: (
    key: string,
  ) => { readonly bytes: number; readonly md5: string; readonly madeUnder: string } | null;
}

type Event = Pick<EventRow, "clip_id" | "attempt" | "event">;
type Mover = Operation["kind"];
const ENDS_AN_ATTEMPT: readonly Mover[] = ["alarm", "fail", "release"];

/** from>to -> who may do that. */
const TRANSITIONS: Readonly<Record<string, readonly Mover[]>> = {
  "none>queued": ["create"],
  "queued>leased": ["poll"],
  "leased>running": ["heartbeat"],
  "running>running": ["heartbeat"],
  "leased>queued": ENDS_AN_ATTEMPT,
  "running>queued": ENDS_AN_ATTEMPT,
  "leased>failed": ENDS_AN_ATTEMPT,
  "running>failed": ENDS_AN_ATTEMPT,
  "leased>succeeded": ["complete"],
  "running>succeeded": ["complete"],
  "queued>expired": ["alarm"],
  "queued>cancelled": ["cancel"],
  "leased>cancelled": ["cancel"],
  "running>cancelled": ["cancel"],
};

const NEVER_CHANGED = [
  "id",
  "account_id",
  "key_id",
  "model",
  "prompt",
  "webhook_url",
  "size",
  "frames",
  "price_micros",
  "created_at_ms",
] as const;
const STAGES = ["load", "text_encode", "denoise", "decode", "encode", "upload"];
const MAX_UNCOUNTED_HAND_BACKS = 10;

/** J1 to J5 and J8, J9 for one commit. */
export function judgeJobs(operation: Operation, commit: Commit, context: JobsContext): void {
  const expected: Event[] = [];
  for (const change of commit.clips) {
    if (operation.kind === "alarm" && change.before?.state === "succeeded") {
      judgeRemoved(operation, change, context);
      continue;
    }
    must(commit.clips.length === 1, "J5", () => `one commit of ${operation.kind} changed ${commit.clips.length} clips`);
    judgeClip(operation, change, context);
    expected.push(...eventsFor(operation, change));
  }
  const inserted = commit.clip_events.map(({ before, after }) => {
    must(before === null && after !== null, "J5", () => "an event was changed or deleted");
    return after;
  });
  const text = (events: readonly Event[]) =>
    events.map((e) => `${e.event} of ${e.clip_id}, attempt ${e.attempt}`).join("; ");
  must(text(inserted) === text(expected), "J5", () => `events [${text(inserted)}] instead of [${text(expected)}]`);
}

function judgeClip(operation: Operation, { before, after }: Change<ClipRow>, context: JobsContext): void {
  must(after !== null, "J1", () => `clip ${before?.id} was deleted by ${operation.kind}`);
  const step = `${before?.state ?? "none"}>${after.state}`;
  const what = () => `${operation.kind} took clip ${after.id}, attempt ${after.attempt}, along ${step}`;
  must(TRANSITIONS[step]?.includes(operation.kind) === true, "J1", what);
  if (before === null) {
    must(after.attempt === 0 && after.lease_token === null && after.handed_back === 0, "J1", what);
    return;
  }
  for (const column of NEVER_CHANGED) must(before[column] === after[column], "J1", () => `${what()}: ${column}`);
  judgeFence(operation, before, after, context, what);
  if (after.state === "leased") judgeLease(operation as Operation<"poll">, before, after, context, what);
  else must(after.attempt === before.attempt, "J2", () => `${what()}: the attempt changed without a lease`);
  if (operation.kind === "heartbeat") judgeExtension(operation, before, after, context, what);
  if (after.state !== "queued") {
    must(after.expires_at_ms === before.expires_at_ms, "J1", () => `${what()}: its deadline moved`);
  }
  if (ENDS_AN_ATTEMPT.includes(operation.kind) && after.state !== "expired")
    judgeEnd(operation, before, after, context, what);
  if (after.state === "succeeded") judgeOutput(operation as Operation<"complete">, after, context, what);
  const ended = ENDED.includes(after.state);
  must(ended === (after.finished_at_ms !== null), "J1", () => `${what()}: finished_at_ms is ${after.finished_at_ms}`);
}

/** J2 and J3: only the bearer of the current lease, the owner, or the clock may touch a clip. */
function judgeFence(
  operation: Operation,
  before: ClipRow,
  after: ClipRow,
  context: JobsContext,
  what: () => string,
): void {
  if (operation.kind === "cancel") {
    const { key, clipId } = operation.request as Requests["cancel"];
    must(before.id === clipId && before.account_id === context.accountOf(key), "I4", what);
  } else if (after.state === "expired") {
    const earlyMs = before.expires_at_ms - context.nowMs - operation.skewMs;
    must(earlyMs <= 0, "J4", () => `${what()} ${earlyMs} ms before its deadline`);
  } else if (operation.kind === "alarm") {
    const nowMs = context.nowMs + operation.skewMs;
    const untilMs = before.lease_until_ms ?? Number.POSITIVE_INFINITY;
    must(untilMs <= nowMs, "J2", () => `${what()} ${untilMs - nowMs} ms before its lease was over`);
    const promisedMs = context.promised.get(before.lease_token ?? "") ?? 0;
    must(promisedMs <= nowMs, "J2", () => `${what()} ${promisedMs - nowMs} ms before the end its runner was told`);
  } else if (operation.kind !== "poll") {
    const { runner, lease } = operation.request as Requests["release"];
    must(before.lease_token === lease, "J3", () => `${what()} with a lease that is not the clip's`);
    must(before.runner_id === context.runnerOf(runner), "J3", () => `${what()} for another runner`);
  }
}

function judgeLease(
  operation: Operation<"poll">,
  before: ClipRow,
  after: ClipRow,
  context: JobsContext,
  what: () => string,
): void {
  const { poll, runner } = operation.request;
  must(after.attempt === before.attempt + 1, "J2", () => `${what()}: it was attempt ${before.attempt}`);
  const { lease_token: token, lease_until_ms: untilMs } = after;
  must(token !== null && !context.leasesSeen.has(token), "J2", () => `${what()} under a lease that was used before`);
  context.leasesSeen.add(token);
  must(after.runner_id === context.runnerOf(runner) && after.poll_nonce === poll.nonce, "J2", what);
  const dueMs = context.nowMs + operation.skewMs + context.times.acknowledgeMs;
  must(untilMs !== null && untilMs <= dueMs, "J2", () => `${what()} until ${untilMs}, after ${dueMs}`);
  must(context.isTimed(untilMs), "J7", () => `${what()} without a timer`);
  const nowMs = context.nowMs + operation.skewMs;
  must(after.expires_at_ms > nowMs, "J4", () => `${what()} after its deadline`);
  must(!context.isDrained(after.runner_id ?? ""), "J8", () => `${what()} for a runner that is drained`);
  context.taken(before, nowMs);
  must(poll.models.includes(after.model), "J8", () => `${what()} whose model ${after.model} was not asked for`);
}

function judgeExtension(
  operation: Operation,
  before: ClipRow,
  after: ClipRow,
  { times, nowMs }: JobsContext,
  what: () => string,
): void {
  const untilMs = after.lease_until_ms ?? Number.POSITIVE_INFINITY;
  const leaseMs = nowMs + operation.skewMs + times.leaseMs;
  const stallMs = (after.progress_at_ms ?? 0) + times.stallMs;
  must(untilMs <= leaseMs, "J2", () => `${what()}: the lease is ${untilMs - leaseMs} ms too long`);
  must(untilMs <= stallMs, "J4", () => `${what()}: the lease reaches ${untilMs - stallMs} ms beyond the stall limit`);
  const back = before.progress !== null && rank(after.progress) < rank(before.progress);
  must(!back, "I3", () => `${what()}: progress went back from ${before.progress} to ${after.progress}`);
}

function rank(progress: string | null): number {
  if (progress === null) return -1;
  const { stage, step } = JSON.parse(progress) as { stage: string; step: number };
  return STAGES.indexOf(stage) * 100_000 + step;
}

/** J4: given up exactly when the attempts that count are used up, or the runner says that another is no use. */
function judgeEnd(
  operation: Operation,
  before: ClipRow,
  after: ClipRow,
  { times }: JobsContext,
  what: () => string,
): void {
  const counted = before.attempt - before.handed_back;
  const spent = counted >= times.maxAttempts;
  const handedBack = after.handed_back - before.handed_back;
  const unharmed = operation.kind === "release" || (operation.kind === "alarm" && before.state === "leased");
  const free = unharmed && before.handed_back < MAX_UNCOUNTED_HAND_BACKS;
  const { failure } = operation.request as Partial<Requests["fail"]>;
  const over = failure?.retryable === false || (spent && !free);
  must((after.state === "failed") === over, "J4", () => `${what()} after ${counted} attempts that count`);
  must(handedBack === (free && after.state === "queued" ? 1 : 0), "J4", () => `${what()}: handed back ${handedBack}`);
  if (after.state === "failed") {
    must(after.error_code !== null, "J4", () => `${what()} without saying why`);
    return;
  }
  const cleared = [after.lease_token, after.lease_until_ms, after.runner_id, after.poll_nonce, after.progress];
  must(
    cleared.every((value) => value === null),
    "J2",
    () => `${what()} and kept a part of its lease`,
  );
}

/** J9: what is recorded is in the bucket, made under this lease, and its key names the attempt. */
function judgeOutput(
  { request }: Operation<"complete">,
  after: ClipRow,
  context: JobsContext,
  what: () => string,
): void {
  const outputs = JSON.parse(after.outputs ?? "{}") as Record<
    string,
    { key: string; bytes: number; md5: string; sha256: string }
  >;
  for (const [kind, declared] of Object.entries(request.result.outputs)) {
    const recorded = outputs[kind];
    const stored = context.isStored(recorded?.key ?? "");
    const said = () =>
      `${what()}: ${kind} is recorded as ${JSON.stringify(recorded)}, stored as ${JSON.stringify(stored)}`;
    must(recorded !== undefined && stored !== null, "J9", said);
    must(recorded.key.split("/").includes(String(after.attempt)) && recorded.key.includes(after.id), "J9", said);
    must(recorded.bytes === stored.bytes && recorded.md5 === stored.md5, "J9", said);
    must(recorded.sha256 === declared?.sha256 && recorded.md5 === declared.md5, "J9", said);
    must(stored.madeUnder === after.lease_token, "J9", said);
  }
}

/** R1: a clip is marked when its output's time is over and its bytes are gone, and nothing else of it changes. */
function judgeRemoved(operation: Operation, { before, after }: Change<ClipRow>, context: JobsContext): void {
  const what = () => `the sweep marked clip ${before?.id} as removed`;
  must(before !== null && after !== null, "R1", what);
  const rest = (row: ClipRow) => JSON.stringify({ ...row, output_removed_at_ms: null });
  must(rest(before) === rest(after), "R1", () => `${what()} and changed more of it`);
  const earlyMs = (before.output_expires_at_ms ?? 0) - context.nowMs - operation.skewMs;
  must(earlyMs <= 0, "R1", () => `${what()} ${earlyMs} ms early`);
  for (const { key } of Object.values(JSON.parse(before.outputs ?? "{}") as Record<string, { key: string }>)) {
    must(context.isStored(key) === null, "R1", () => `${what()}, but ${key} is there`);
  }
}

/** J5: the events that a transition must write in its own commit. */
function eventsFor(operation: Operation, { before, after }: Change<ClipRow>): Event[] {
  if (after === null) return [];
  const { id: clip_id, attempt, state } = after;
  const event = (name: string): Event => ({ clip_id, attempt, event: name });
  if (state === "running") return before?.state === "leased" ? [event("started")] : [];
  if (!ENDS_AN_ATTEMPT.includes(operation.kind) || state === "expired") return [event(state)];
  const ending: Readonly<Partial<Record<Mover, string>>> = {
    alarm: "lease_lost",
    fail: "attempt_failed",
    release: "handed_back",
  };
  return [event(ending[operation.kind] ?? ""), ...(state === ("failed" satisfies State) ? [event("failed")] : [])];
}
