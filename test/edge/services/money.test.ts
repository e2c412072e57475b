import { beforeEach, describe, expect, it } from "vitest";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { grantCredit } from "../../../edge/services/money/grant.ts";
import { micros } from "../../../shared/pricing.ts";
import { env } from "../support/env.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { CLIP_PRICE, freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

describe("the ledger", () => {
  const again = (where: string) => {
    const columns = "book, account_id, clip_id, key_id, kind, amount_micros, reason, at_ms";
    const rows = `select 'txn_x', ${columns} from ledger_entries where ${where}`;
    return `replace into ledger_entries (transaction_id, ${columns}) ${rows}`;
  };
  it.each([
    "update ledger_entries set amount_micros = 0",
    "delete from ledger_entries",
    "insert or replace into ledger_entries select * from ledger_entries",
    again("kind = 'hold'"),
    again("kind = 'capture' and book = 'held'"),
  ])("refuses: %s", async (sql) => {
    const world = new World();
    await world.finished(await world.account());
    const before = await everything();
    await expect(env.DB.prepare(sql).run()).rejects.toThrow("ledger_entries is append-only");
    expect(await everything()).toEqual(before);
  });

  it("books an order and its success as hold and capture, between the account's books and ours", async () => {
    const world = new World();
    const account = await world.account();
    await world.finished(account);
    const { results } = await env.DB.prepare(
      "select kind, book, amount_micros from ledger_entries order by rowid",
    ).all();
    expect(results).toEqual([
      { kind: "top_up", book: "funding", amount_micros: -1_000_000 },
      { kind: "top_up", book: "available", amount_micros: 1_000_000 },
      { kind: "hold", book: "available", amount_micros: -CLIP_PRICE },
      { kind: "hold", book: "held", amount_micros: CLIP_PRICE },
      { kind: "capture", book: "held", amount_micros: -CLIP_PRICE },
      { kind: "capture", book: "revenue", amount_micros: CLIP_PRICE },
    ]);
    await expectInvariants();
  });

  it.each([
    ["a second hold of", "hold", "available", "held", CLIP_PRICE],
    ["a second resolution of", "release", "available", "held", -CLIP_PRICE],
  ])("has no room for %s one clip, whoever tries", async (_, kind, other, book, amount) => {
    const world = new World();
    const account = await world.account();
    const { clip_id } = await world.finished(account);
    const insert = env.DB.prepare(
      "insert into ledger_entries (transaction_id, book, account_id, clip_id, kind, amount_micros, at_ms) values (?, ?, ?, ?, ?, ?, 0)",
    );
    const twice = env.DB.batch([
      insert.bind("txn_x", other, account, clip_id, kind, -amount),
      insert.bind("txn_x", book, account, clip_id, kind, amount),
    ]);
    await expect(twice).rejects.toThrow("ledger_entries is append-only");
    await expectInvariants();
  });
});

describe("a balance", () => {
  it("cannot be moved below what is held, by any statement", async () => {
    const world = new World();
    const account = await world.account(CLIP_PRICE);
    await world.order(account);
    const overdraft = env.DB.prepare("update balances set posted_micros = posted_micros - 1").run();
    await expect(overdraft).rejects.toThrow("balance_covers_holds");
    const negative = env.DB.prepare("update balances set pending_micros = -1").run();
    await expect(negative).rejects.toThrow("balance_pending_not_negative");
  });
});

describe("a grant", () => {
  it("credits the account once per idempotency key, and answers the same bytes", async () => {
    const world = new World();
    const accountId = await world.account(0);
    const grant = { accountId, amountMicros: micros(700), reason: "welcome", idempotencyKey: "g" };
    const answers = await Promise.all([grantCredit(world.ports, grant), grantCredit(world.ports, grant)]);
    expect(await grantCredit(world.ports, grant)).toBe(answers[0]);
    expect(answers[1]).toBe(answers[0]);
    expect(await getBalance(world.ports, accountId)).toEqual({
      posted_micros: 700,
      pending_micros: 0,
      available_micros: 700,
    });
    await expectInvariants();
  });

  it("with a used key and another amount is refused", async () => {
    const world = new World();
    const accountId = await world.account(0);
    const grant = { accountId, amountMicros: micros(700), reason: "welcome", idempotencyKey: "g" };
    await grantCredit(world.ports, grant);
    const other = grantCredit(world.ports, { ...grant, amountMicros: micros(701) });
    await expect(other).rejects.toMatchObject({ code: "idempotency_mismatch" });
    await expectInvariants();
  });

  it("to an account that does not exist is not_found", async () => {
    const world = new World();
    const accountId = "acct_01j9z3k4m5n6p7q8r9s0t1v2w3" as Awaited<ReturnType<typeof world.account>>;
    const grant = { accountId, amountMicros: micros(700), reason: "welcome", idempotencyKey: "g" };
    await expect(grantCredit(world.ports, grant)).rejects.toMatchObject({ code: "not_found" });
  });
});
