// What one clip costs the database: the time of every call of its life, from key check to completion, by the
// services' own code over SQLite on disk. docs/scaling.md reckons with it.
import { createHash, createHmac, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../../db/database.ts";
import { createAccount } from "../../edge/services/accounts/create.ts";
import { createClip } from "../../edge/services/clips/create.ts";
import { getClip } from "../../edge/services/clips/get.ts";
import { issueKey } from "../../edge/services/keys/issue.ts";
import { verifyKey } from "../../edge/services/keys/verify.ts";
import { claimClip } from "../../edge/services/leases/claim.ts";
import { completeAttempt } from "../../edge/services/leases/complete.ts";
import { heartbeat } from "../../edge/services/leases/heartbeat.ts";
import { grantCredit } from "../../edge/services/money/grant.ts";
import { DEFAULT_TIMES, type Ports } from "../../edge/services/ports.ts";
import { admitRunner } from "../../edge/services/runners/admit.ts";
import { registerRunner } from "../../edge/services/runners/register.ts";
import { verifyRunner } from "../../edge/services/runners/verify.ts";
import { createClipSchema } from "../../shared/contract/clips.ts";
import type { ClipId } from "../../shared/ids.ts";
import { micros } from "../../shared/pricing.ts";
import { percentile, type Result, type Row } from "../table.ts";
import { type Cost, TimedD1 } from "./timed-d1.ts";

const MODEL = "turboclip-demo";
/** Of which nothing is ordered. */
const IDLE_MODEL = "turbowan2.1-t2v-1.3b-480p";
const VERSION = "0.1.0";
const CLIPS = 2_000;
const QUEUED = [0, 500] as const;
const FILE = { bytes: 4, md5: "CY9rzUYh03PK3k6DJie09g==", sha256: "0".repeat(64) } as const;
const BEAT = { stage: "denoise", steps: 4 } as const;

const utf8 = new TextEncoder();

function portsOver(database: TimedD1): Ports & { clock: { nowMs: number } } {
  const clock = { nowMs: Date.now(), now: () => clock.nowMs };
  return {
    db: openDatabase(database.d1),
    clock,
    random: { bytes: (count) => Uint8Array.from(randomBytes(count)) },
    digest: {
      sha256: async (text) => Uint8Array.from(createHash("sha256").update(text).digest()),
      hmacSha256: async (key, text) => Uint8Array.from(createHmac("sha256", key).update(utf8.encode(text)).digest()),
    },
    bell: { ring: async () => {}, dismiss: async () => {}, wakeBy: async () => {} },
    feed: { put: async () => {}, get: async () => null, nudge: async () => {}, watch: async (_, seen) => seen },
    signer: { signPut: async () => "https://bucket.test/" },
    store: { head: async () => ({ ...FILE, etag: '"1"' }), read: async () => null, remove: async () => {} },
    outbound: { post: async () => ({ status: 204, retryAfter: null, body: "" }) },
    resolver: { resolve: async () => [] },
    vault: { seal: async (text) => text, open: async (text) => text },
    outboxes: { wake: async () => {} },
    moderation: { moderators: [], withoutVerdict: "wait" },
    payments: null,
    log: () => {},
    requestId: null,
    trustedHosts: new Set(),
    times: DEFAULT_TIMES,
    signingKeys: [{ id: "k1", secret: new Uint8Array(32) }],
    publicOrigin: "https://clips.test",
    version: VERSION,
  };
}

const STEPS = ["order", "claim", "start", "lease extension", "complete", "read", "idle poll"] as const;
type Step = (typeof STEPS)[number];
/** What a clip costs in any case; the others come by the second. */
const LIFE: readonly Step[] = ["order", "claim", "start", "complete"];

/** CLIPS lives, one after the other, with this many more clips waiting in the queue meanwhile. */
async function measure(database: TimedD1, queued: number): Promise<ReadonlyMap<Step, readonly Cost[]>> {
  const ports = portsOver(database);
  const accountId = await createAccount(ports, "bench");
  const amountMicros = micros(1_000_000_000);
  await grantCredit(ports, { accountId, amountMicros, reason: "bench", idempotencyKey: "first" });
  const { key } = await issueKey(ports, accountId, { name: "bench", expiresAtMs: null, dailyCapMicros: null });
  const { id: runnerId, token: runnerToken } = await registerRunner(ports, "bench");
  const request = createClipSchema.parse({ model: MODEL, prompt: "a red ball" });
  const costs = new Map<Step, Cost[]>(STEPS.map((step) => [step, []]));
  const cost = async (step: Step, work: () => Promise<unknown>) => {
    costs.get(step)?.push(await database.costOf(work));
  };
  const order = async (n: number) =>
    await createClip(ports, await verifyKey(ports, key), request, `order-${queued}-${n}`);
  for (let n = 0; n < queued; n += 1) await order(-n - 1);
  for (let n = 0; n < CLIPS; n += 1) {
    ports.clock.nowMs += 1_000;
    await cost("order", async () => await order(n));
    const nonce = `nonce-${queued}-${n}`.padEnd(16, "-");
    const poll = { runner_id: runnerId, nonce, models: [MODEL], loaded_model: MODEL, version: VERSION, wait_s: 25 };
    const idle = { ...poll, nonce: `idle-${nonce}`, models: [IDLE_MODEL] };
    await cost("idle poll", async () => {
      await verifyRunner(ports, runnerToken);
      await admitRunner(ports, runnerId, idle);
      if ((await claimClip(ports, runnerId, idle)) !== null) throw new Error("something to claim");
    });
    let token = "";
    let clipId: ClipId | undefined;
    await cost("claim", async () => {
      await verifyRunner(ports, runnerToken);
      await admitRunner(ports, runnerId, poll);
      const claim = await claimClip(ports, runnerId, poll);
      if (claim === null) throw new Error("nothing to claim");
      token = claim.lease_token;
      clipId = claim.clip_id;
    });
    const ref = { runnerId, token };
    const beat = async (step: number) => {
      await verifyRunner(ports, runnerToken);
      await heartbeat(ports, ref, { ...BEAT, step });
    };
    await cost("start", async () => await beat(0));
    ports.clock.nowMs += DEFAULT_TIMES.leaseMs / 2 + 1;
    await cost("lease extension", async () => await beat(1));
    await cost("complete", async () => {
      await verifyRunner(ports, runnerToken);
      const outputs = { mp4: FILE, poster: FILE };
      await completeAttempt(ports, ref, { outputs, timings: { denoise: 1 }, engine: "bench" });
    });
    await cost("read", async () => {
      const caller = await verifyKey(ports, key);
      if (clipId !== undefined) await getClip(ports, caller.accountId, clipId);
    });
  }
  return costs;
}

function rowsOf(costs: ReadonlyMap<Step, readonly Cost[]>, queued: number): Row[] {
  const where = `${queued} in the queue`;
  let life = 0;
  const rows = STEPS.map((step): Row => {
    const samples = costs.get(step) ?? [];
    const mean = samples.reduce((sum, { ms }) => sum + ms, 0) / samples.length;
    if (LIFE.includes(step)) life += mean;
    const p99 = percentile(
      samples.map(({ ms }) => ms),
      0.99,
    );
    const calls = Math.max(...samples.map((sample) => sample.calls));
    return {
      what: `${where}: ${step} (${calls} calls)`,
      measured: `mean ${mean.toFixed(3)} ms, p99 ${p99.toFixed(3)} ms`,
      aim: "",
    };
  });
  const whole = `${life.toFixed(3)} ms, so ${Math.floor(1_000 / life)} clips a second`;
  return [...rows, { what: `${where}: a clip's order, claim, start and completion`, measured: whole, aim: "" }];
}

export async function databaseTime(): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "turboclip-bench-"));
  try {
    const rows: Row[] = [];
    for (const queued of QUEUED) {
      const database = new TimedD1(join(folder, `${queued}.sqlite`));
      const empty = database.bytes;
      rows.push(...rowsOf(await measure(database, queued), queued));
      const each = ((database.bytes - empty) / (CLIPS + queued) / 1_000).toFixed(1);
      rows.push({ what: `${queued} in the queue: what a clip leaves on disk`, measured: `${each} kB`, aim: "" });
      database.close();
    }
    return {
      title: "What a clip costs the database",
      rows,
      notes: [
        `${CLIPS} clips a table, one after the other, by the services' own code over SQLite on disk (WAL), one thread. ` +
          "Only time inside SQLite is counted: what D1 adds for network and storage replication is not in it.",
      ],
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
