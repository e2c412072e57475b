import { expect, test } from "vitest";
import { idSchema, makeId, ulid } from "../../shared/ids.ts";

test("a ULID spells time and randomness as the specification's vectors do", () => {
  expect(ulid(0, new Uint8Array(10))).toBe("0".repeat(26));
  expect(ulid(2 ** 48 - 1, new Uint8Array(10).fill(255))).toBe("7zzzzzzzzzzzzzzzzzzzzzzzzz");
  // Time part of the specification's example, 01ARZ3NDEKTSV4RRFFQ69G5FAV, is 1469922850259 ms.
  expect(ulid(1_469_922_850_259, new Uint8Array(10)).slice(0, 10)).toBe("01arz3ndek");
});

test("the random part carries all 80 bits in order", () => {
  const random = Uint8Array.from({ length: 10 }, (_, i) => i * 25);
  const bits = BigInt(`0x${Buffer.from(random).toString("hex")}`);
  const digits = "0123456789abcdefghjkmnpqrstvwxyz";
  const expected = Array.from({ length: 16 }, (_, i) => digits[Number((bits >> BigInt(75 - 5 * i)) & 31n)]).join("");
  expect(ulid(0, random).slice(10)).toBe(expected);
});

test("ids sort by creation time", () => {
  const ids = [1, 32, 1_000_000, 1_700_000_000_000].map((time) => makeId("clip", time, new Uint8Array(10).fill(255)));
  expect(ids.toSorted()).toEqual(ids);
});

test("an id of another kind, length or alphabet is refused", () => {
  const schema = idSchema("clip");
  const good = makeId("clip", 1_700_000_000_000, new Uint8Array(10));
  expect(schema.safeParse(good).success).toBe(true);
  for (const bad of [
    good.replace("clip", "acct"),
    `${good}0`,
    good.slice(0, -1),
    good.toUpperCase(),
    `${good.slice(0, -1)}u`,
  ]) {
    expect(schema.safeParse(bad).success, bad).toBe(false);
  }
});
