import { beforeEach, describe, expect, it } from "vitest";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { grantCredit } from "../../../edge/services/money/grant.ts";
import { listLedger } from "../../../edge/services/money/ledger.ts";
import { refundClip } from "../../../edge/services/money/refund.ts";
import { openStatement } from "../../../edge/services/money/statement.ts";
import { getUsage } from "../../../edge/services/money/usage.ts";
import type { LedgerPage } from "../../../shared/contract/accounting.ts";
import type { AccountId, TransactionId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import { CLIP_PRICE, DEMO, freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

const DAY = 86_400_000;
const ALL = { from: undefined, to: undefined };

async function statement(world: World, account: AccountId, month: string): Promise<string[]> {
  let text = "";
  for await (const page of openStatement(world.ports, account, month)) text += page;
  expect(text.endsWith("\r\n")).toBe(true);
  return text.trimEnd().split("\r\n");
}

/** Two clips on one day, one of them refunded in part on the next, on which another key's clip succeeds. */
async function eventful(world: World): Promise<AccountId> {
  const account = await world.account();
  world.advance(1);
  const { clip_id: clipId } = await world.finished(account);
  await world.finished(account);
  world.advance(DAY);
  const refund = { clipId, amountMicros: micros(100), reason: "blurred", idempotencyKey: "r" };
  await refundClip(world.ports, refund);
  world.advance(1);
  await world.finished(account);
  await cancelClip(world.ports, account, (await world.order(account)).id);
  return account;
}

describe("usage", () => {
  it("folds charges and refunds by day, model and key, and adds up to what the balance lost", async () => {
    const world = new World();
    const account = await eventful(world);
    await world.finished(await world.account());
    const key_id = world.caller(account).keyId;
    const usage = await getUsage(world.ports, account, ALL);
    expect(usage).toMatchObject({ from: "2026-10-26", to: "2026-11-24" });
    expect(usage.data).toEqual([
      {
        ...{ day: "2026-11-23", model: DEMO, key_id, clips: 2 },
        ...{ captured_micros: CLIP_PRICE * 2, refunded_micros: 0, net_micros: CLIP_PRICE * 2 },
      },
      {
        ...{ day: "2026-11-24", model: DEMO, key_id, clips: 1 },
        ...{ captured_micros: CLIP_PRICE, refunded_micros: 100, net_micros: CLIP_PRICE - 100 },
      },
    ]);
    expect(usage.total).toEqual({
      ...{ clips: 3, captured_micros: CLIP_PRICE * 3, refunded_micros: 100, net_micros: CLIP_PRICE * 3 - 100 },
    });
    const { posted_micros } = await getBalance(world.ports, account);
    expect(posted_micros).toBe(1_000_000 - usage.total.net_micros);
  });

  it("tells the keys of an account apart", async () => {
    const world = new World();
    const accountId = await world.account();
    const { id: keyId } = await world.issueKey(accountId);
    await world.finished(accountId);
    await world.finishedBy({ accountId, keyId, tokenId: null });
    const { data } = await getUsage(world.ports, accountId, ALL);
    const clipsOf = new Map(data.map(({ key_id, clips }) => [key_id, clips]));
    expect(clipsOf).toEqual(
      new Map([
        [world.caller(accountId).keyId, 1],
        [keyId, 1],
      ]),
    );
  });

  it("has its days' first and last millisecond and no other", async () => {
    const world = new World();
    const account = await world.account();
    world.nowMs = Date.UTC(2026, 10, 24) - 1;
    await world.finished(account);
    world.advance(1);
    await world.finished(account);
    world.nowMs = Date.UTC(2026, 10, 25) - 1;
    await world.finished(account);
    world.advance(1);
    await world.finished(account);
    const day = Date.UTC(2026, 10, 24) / DAY;
    const { total } = await getUsage(world.ports, account, { from: day, to: day });
    expect(total.clips).toBe(2);
  });

  it("is refused for days in the wrong order, or too many", async () => {
    const world = new World();
    const account = await world.account();
    const refusal = { code: "invalid_request" };
    await expect(getUsage(world.ports, account, { from: 20_001, to: 20_000 })).rejects.toMatchObject(refusal);
    await expect(getUsage(world.ports, account, { from: 20_000, to: 20_092 })).rejects.toMatchObject(refusal);
    expect((await getUsage(world.ports, account, { from: 20_000, to: 20_091 })).data).toEqual([]);
  });
});

describe("the ledger's listing", () => {
  it("tells every transaction once, newest first, whatever is booked meanwhile, and sums to the balance", async () => {
    const world = new World();
    const account = await eventful(world);
    const seen: LedgerPage["data"] = [];
    let after: TransactionId | null = null;
    for (;;) {
      const page: LedgerPage = await listLedger(world.ports, account, { limit: 2, after });
      expect(page.data.length).toBeLessThanOrEqual(2);
      seen.push(...page.data);
      expect(page.next).toBe(page.has_more ? page.data.at(-1)?.id : null);
      if (!page.has_more) break;
      after = (page.data.at(-1)?.id ?? null) as TransactionId | null;
      world.advance(1);
      if (seen.length === 4) await world.finished(account);
    }
    expect(new Set(seen.map(({ id }) => id)).size).toBe(seen.length);
    expect(seen.map(({ at }) => at)).toEqual(
      seen
        .map(({ at }) => at)
        .toSorted()
        .toReversed(),
    );
    const kinds = seen.map(({ kind }) => kind).toSorted();
    expect(kinds).toEqual([
      ...["capture", "capture", "capture", "hold", "hold", "hold", "hold", "refund", "release", "top_up"],
    ]);
    const refund = seen.find(({ kind }) => kind === "refund");
    expect(refund).toMatchObject({ available_micros: 100, held_micros: 0, reason: "blurred" });
    expect(seen.find(({ kind }) => kind === "hold")).toMatchObject({
      ...{ available_micros: -CLIP_PRICE, held_micros: CLIP_PRICE, key_id: world.caller(account).keyId },
    });
    const sum = seen.reduce((total, { available_micros, held_micros }) => total + available_micros + held_micros, 0);
    expect(sum).toBe((await getBalance(world.ports, account)).posted_micros + CLIP_PRICE);
  });
});

describe("a monthly statement", () => {
  it("leads from the opening to the closing balance, and ends where the next month begins", async () => {
    const world = new World();
    const account = await eventful(world);
    world.nowMs = Date.UTC(2026, 11, 24);
    await world.finished(account);
    const [header, opening, ...rest] = await statement(world, account, "2026-11");
    expect(header).toBe(
      "time,transaction_id,kind,clip_id,model,key_id,reason,amount_micros,balance_micros,amount,balance",
    );
    expect(opening).toBe("2026-11-01T00:00:00.000Z,,opening_balance,,,,,0,0,$0.000000,$0.000000");
    const kinds = rest.map((line) => line.split(",")[2]);
    expect(kinds).toEqual(["top_up", "capture", "capture", "refund", "capture", "closing_balance"]);
    expect(rest[1]).toMatch(
      /^2026-11-23T12:00:00\.001Z,txn_\w+,capture,clip_\w+,turboclip-demo,key_\w+,,-408,999592,-\$0\.000408,\$0\.999592$/,
    );
    const closing = 1_000_000 - CLIP_PRICE * 3 + 100;
    expect(rest.at(-1)).toBe(`2026-12-01T00:00:00.000Z,,closing_balance,,,,,0,${closing},$0.000000,$0.998876`);
    const december = await statement(world, account, "2026-12");
    expect(december[1]).toContain(`opening_balance,,,,,0,${closing},`);
    expect(december.at(-1)).toContain(`closing_balance,,,,,0,${closing - CLIP_PRICE},`);
    expect(december.at(-1)).toMatch(/^2026-12-24T/);
  });

  it("quotes what a reason brings along, and leaves a spreadsheet nothing to compute", async () => {
    const world = new World();
    const accountId = await world.account(0);
    const reason = '=1+1, "so"\nhe said';
    await grantCredit(world.ports, { accountId, amountMicros: micros(5), reason, idempotencyKey: "g" });
    const lines = await statement(world, accountId, "2026-11");
    expect(lines[2]).toContain(`top_up,,,,"'=1+1, ""so""\nhe said",5,5,`);
  });

  it("of more than a page of rows is complete and in order", async () => {
    const world = new World();
    const accountId = await world.account(0);
    const one = { accountId, amountMicros: micros(1), reason: "drip" };
    for (let i = 0; i < 1_001; i++) {
      world.advance(1);
      await grantCredit(world.ports, { ...one, idempotencyKey: String(i) });
    }
    const lines = await statement(world, accountId, "2026-11");
    expect(lines).toHaveLength(1_001 + 3);
    expect(lines.at(-1)).toContain(",closing_balance,,,,,0,1001,");
  });

  it("of a month that has not begun is not_found", async () => {
    const world = new World();
    const account = await world.account();
    expect(() => openStatement(world.ports, account, "2026-12")).toThrow("has not begun");
  });
});
