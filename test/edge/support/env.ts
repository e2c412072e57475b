// The test Worker's bindings: those of the Worker itself and what vitest.edge.config.ts adds.
import type { D1Migration } from "cloudflare:test";
import { env as bound } from "cloudflare:workers";

export const env = bound as Env & {
  readonly ADMIN_TOKEN: string;
  readonly METRICS_TOKEN: string;
  readonly SIGNING_KEYS: string;
  readonly TEST_MIGRATIONS: D1Migration[];
  readonly FUZZ_SEED: number;
  readonly FUZZ_CASES: number;
};
