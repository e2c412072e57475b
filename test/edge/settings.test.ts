import { describe, expect, it } from "vitest";
import { DEFAULT_TIMES } from "../../edge/services/ports.ts";
import { readSettings } from "../../edge/settings.ts";
import { env } from "./support/env.ts";

const SECRET = btoa("x".repeat(32));

describe("settings", () => {
  it("are read whole, with the default times", () => {
    const settings = readSettings(env);
    expect(settings.SIGNING_KEYS.map(({ id }) => id)).toEqual(["k2", "k1"]);
    expect(settings.LEASE_TIMES).toEqual(DEFAULT_TIMES);
  });

  it("take single times over the defaults", () => {
    const settings = readSettings({ ...env, LEASE_TIMES: '{"leaseMs": 5, "maxAttempts": 1}' });
    expect(settings.LEASE_TIMES).toEqual({ ...DEFAULT_TIMES, leaseMs: 5, maxAttempts: 1 });
  });

  it.each([
    ["PUBLIC_ORIGIN", undefined],
    ["PUBLIC_ORIGIN", "clips.test"],
    ["PUBLIC_ORIGIN", "https://clips.test/"],
    ["PUBLIC_ORIGIN", "https://clips.test/path"],
    ["R2_S3_ENDPOINT", "nowhere"],
    ["R2_BUCKET", "Not A Bucket"],
    ["R2_ACCESS_KEY_ID", ""],
    ["R2_SECRET_ACCESS_KEY", undefined],
    ["SIGNING_KEYS", ""],
    ["SIGNING_KEYS", "k1:c2hvcnQ="],
    ["SIGNING_KEYS", `no id here ${SECRET}`],
    ["SIGNING_KEYS", `k1:${SECRET},k2:`],
    ["ENCRYPTION_KEYS", undefined],
    ["ENCRYPTION_KEYS", `e1:${btoa("x".repeat(33))}`],
    ["ADMIN_TOKEN", "short"],
    ["LEASE_TIMES", "{"],
    ["LEASE_TIMES", '{"leaseMs": 0}'],
    ["LEASE_TIMES", '{"unknownMs": 1}'],
  ])("name %s when it is %j, and do not repeat it", (name, value) => {
    const read = () => readSettings({ ...env, [name]: value });
    expect(read).toThrow(new RegExp(`^settings are missing or wrong: ${name}`));
    if (value !== undefined && value.length > 2) expect(read).not.toThrow(value);
  });

  it("name all that is missing at once", () => {
    expect(() => readSettings({})).toThrow(/PUBLIC_ORIGIN: .*SIGNING_KEYS: .*ADMIN_TOKEN: /);
  });
});

it.each([
  [{ STRIPE_WEBHOOK_SECRET: undefined }, "STRIPE_WEBHOOK_SECRET: must be set"],
  [{ STRIPE_SECRET_KEY: undefined }, "STRIPE_SECRET_KEY: must be set"],
  [{ STRIPE_SECRET_KEY: "pk_test_publishable" }, "STRIPE_SECRET_KEY: must be a secret or restricted key"],
  [{ STRIPE_WEBHOOK_SECRET: "secret" }, "STRIPE_WEBHOOK_SECRET: must be the signing secret"],
])("names what a Stripe account lacks, and not its secrets: %o", (changes, fault) => {
  const read = () => readSettings({ ...env, ...changes });
  expect(read).toThrow(fault);
  expect(read).not.toThrow(/pk_test|onlyfortests/);
});
