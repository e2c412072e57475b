// Tests of the Worker inside workerd, with its database, bucket and Durable Objects.
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** Obviously local; `LEASE_TIMES` is left out, so the times are the real ones and tests move the clock. */
const SETTINGS = {
  PUBLIC_ORIGIN: "https://clips.test",
  R2_S3_ENDPOINT: "https://s3.test",
  R2_BUCKET: "turboclip-clips",
  R2_ACCESS_KEY_ID: "local-access-key-id",
  R2_SECRET_ACCESS_KEY: "local-secret-access-key",
  SIGNING_KEYS: `k2:${Buffer.alloc(32, 2).toString("base64")},k1:${Buffer.alloc(32, 1).toString("base64")}`,
  ENCRYPTION_KEYS: `e1:${Buffer.alloc(32, 3).toString("base64")}`,
  // The real Outbox runs in tests of routes; what they let it send goes to a closed port of this machine.
  WEBHOOK_TRUSTED_HOSTS: "127.0.0.1",
  ADMIN_TOKEN: "tca_an-admin-token-that-is-only-for-tests",
  METRICS_TOKEN: "tcm_a-scrape-token-that-is-only-for-tests",
  // Of test/support/stripe/double.ts.
  STRIPE_SECRET_KEY: "sk_test_onlyfortests",
  STRIPE_WEBHOOK_SECRET: "whsec_a-signing-secret-only-for-tests",
  STRIPE_API_URL: "https://stripe.test",
};

/** Of test/edge/openapi/fuzz.test.ts: a seed names one run, and so many requests go to each operation. */
const FUZZ = { FUZZ_SEED: Number(process.env.FUZZ_SEED ?? 1), FUZZ_CASES: Number(process.env.FUZZ_CASES ?? 40) };

export default defineConfig(async () => ({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: "./wrangler.toml" },
      miniflare: { bindings: { ...SETTINGS, ...FUZZ, TEST_MIGRATIONS: await readD1Migrations("./db/migrations") } },
    }),
  ],
  test: {
    include: ["test/edge/**/*.test.ts"],
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // The Worker writes one line a request; a failing test shows what it needs to.
    onConsoleLog: () => false as const,
  },
}));
