// The simulation and its mutants: threads of their own for every seed, so one file after another.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/simulation/**/*.test.ts"],
    testTimeout: 300_000,
    fileParallelism: false,
    maxConcurrency: 2,
  },
});
