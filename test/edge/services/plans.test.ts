import { beforeEach, describe, expect, it } from "vitest";
import { openDatabase } from "../../../db/database.ts";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { deleteClip } from "../../../edge/services/clips/delete.ts";
import { estimateClip } from "../../../edge/services/clips/estimate.ts";
import { listClips } from "../../../edge/services/clips/list.ts";
import { issueBrowserToken, requireOwnClip, verifyBrowserToken } from "../../../edge/services/keys/browser-token.ts";
import { changeKey } from "../../../edge/services/keys/change.ts";
import { listKeys } from "../../../edge/services/keys/list.ts";
import { revokeKey } from "../../../edge/services/keys/revoke.ts";
import { rotateKey } from "../../../edge/services/keys/rotate.ts";
import { noteKeyUse } from "../../../edge/services/keys/use.ts";
import { verifyKey } from "../../../edge/services/keys/verify.ts";
import { heartbeat } from "../../../edge/services/leases/heartbeat.ts";
import { listLedger } from "../../../edge/services/money/ledger.ts";
import { refundClip } from "../../../edge/services/money/refund.ts";
import { openStatement } from "../../../edge/services/money/statement.ts";
import { getUsage } from "../../../edge/services/money/usage.ts";
import { readMetrics } from "../../../edge/services/operator/metrics.ts";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import { viewFleet } from "../../../edge/services/runners/fleet.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { completeUpload } from "../../../edge/services/uploads/complete.ts";
import { createUpload } from "../../../edge/services/uploads/create.ts";
import { getUpload } from "../../../edge/services/uploads/get.ts";
import { removeUpload } from "../../../edge/services/uploads/remove.ts";
import { listVideos } from "../../../edge/services/videos/list.ts";
import { createClipSchema } from "../../../shared/contract/clips.ts";
import { createBrowserTokenSchema } from "../../../shared/contract/keys.ts";
import { makeId } from "../../../shared/ids.ts";
import { env } from "../support/env.ts";
import { DEMO, freshDeployment, LOADING, World } from "../support/world.ts";

beforeEach(freshDeployment);

/** The real database, which remembers every statement that it was given. */
function notingDatabase() {
  const statements = new Set<string>();
  const d1 = new Proxy(env.DB, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name !== "prepare") return typeof value === "function" ? value.bind(target) : value;
      return (sql: string) => {
        statements.add(sql);
        return target.prepare(sql);
      };
    },
  });
  return { db: openDatabase(d1), statements };
}

async function planOf(sql: string): Promise<string[]> {
  const parameters = Array.from(sql.matchAll(/\?/g), () => null);
  const { results } = await env.DB.prepare(`explain query plan ${sql}`)
    .bind(...parameters)
    .all<{ detail: string }>();
  return results.map(({ detail }) => detail);
}

/** Small by nature: runners; and what is read by indexes that hold only what is in motion. */
const SHORT =
  /^SCAN (?:runners|(?:clips|balances|webhook_deliveries|chat_replies) USING (?:COVERING )?INDEX (?:clips_(?:leased|expiring|turn|flow)|balances_holding|(?:webhook_deliveries|chat_replies)_(?:due|overdue))\b)/;
const GROWING =
  /^SCAN (?:clips|clip_events|ledger_entries|idempotency_keys|output_removals|uploads|daily_spend|trigger_days|chat_spend|chat_replies|top_ups|stripe_payments|flows|accounts|balances|audit_log|webhook_messages|webhook_deliveries|webhook_attempts|api_keys|api_key_secrets|browser_tokens)\b/;

describe("no statement of the services", () => {
  it("reads through a table that grows with what has been done", async () => {
    const { db, statements } = notingDatabase();
    const world = new World({ db });
    const account = await world.account();
    const { clip_id: clipId } = await world.finished(account);
    await world.order(account, {}, "a key");
    const { ref } = await world.start(await world.runner());
    world.advance(DEFAULT_TIMES.leaseMs / 2 + 1);
    await heartbeat(world.ports, ref, LOADING);
    await cancelClip(world.ports, account, (await world.order(account)).id);
    const waiting = await world.order(account, { expires_after: 10 });
    await world.get(account, waiting.id);
    for (const order of ["asc", "desc"] as const) {
      await listVideos(world.ports, account, { limit: 20, order, after: clipId });
    }
    const { id } = await createUpload(world.ports, account, { content_type: "image/png", bytes: 1 });
    await getUpload(world.ports, account, id);
    await env.BUCKET.put(`uploads/${id}`, "?");
    await expect(completeUpload(world.ports, account, id)).rejects.toMatchObject({ code: "upload_rejected" });
    await removeUpload(world.ports, account, id);
    const order = createClipSchema.parse({ model: DEMO, prompt: "a red ball" });
    await estimateClip(world.ports, world.caller(account), order);
    const metadata = [["name", "value"]] as const;
    await listClips(world.ports, account, {
      limit: 10,
      after: clipId,
      state: "running",
      model: "x",
      metadata: [...metadata],
    });
    await refundClip(world.ports, { clipId, amountMicros: null, reason: "r", idempotencyKey: "r" });
    await getUsage(world.ports, account, { from: undefined, to: undefined });
    const after = makeId("transaction", world.nowMs, new Uint8Array(10));
    await listLedger(world.ports, account, { limit: 10, after });
    for await (const _ of openStatement(world.ports, account, "2026-11"));
    await viewFleet(world.ports);
    await readMetrics(world.ports);
    const { id: keyId, key } = await world.issueKey(account);
    await changeKey(world.ports, "operator", keyId, { name: "x" });
    await rotateKey(world.ports, "operator", keyId, 1_000);
    await listKeys(world.ports, account, { limit: 10, after: keyId });
    const bearer = await verifyKey(world.ports, key);
    await noteKeyUse(world.ports, bearer);
    const wanted = createBrowserTokenSchema.parse({ scopes: ["clips:read"], origins: ["https://www.example.com"] });
    const visitor = await verifyBrowserToken(world.ports, (await issueBrowserToken(world.ports, bearer, wanted)).token);
    await expect(requireOwnClip(world.ports, visitor, clipId)).rejects.toMatchObject({ code: "not_found" });
    await revokeKey(world.ports, "operator", keyId);
    await deleteClip(world.ports, account, clipId);
    world.advance(DEFAULT_TIMES.outputKeptMs);
    await sweep(world.ports);
    await sweep(world.ports);

    expect(statements.size).toBeGreaterThan(50);
    const control = await planOf("select id from clips where prompt = ?");
    expect(control.filter((step) => GROWING.test(step) && !SHORT.test(step))).toHaveLength(1);
    const slow: string[] = [];
    for (const sql of statements) {
      const scans = (await planOf(sql)).filter((step) => GROWING.test(step) && !SHORT.test(step));
      if (scans.length > 0) slow.push(`${scans.join("; ")} of ${sql}`);
    }
    expect(slow).toEqual([]);
  });
});
