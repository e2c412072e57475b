// A local database's migrations are applied without wrangler's command, which must find them as if it had.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { applyMigrations, MIGRATED } from "../../scripts/local/migrations.ts";

const ROOT = resolve(import.meta.dirname, "../..");

test("wrangler finds nothing left to apply, however often they were applied", async () => {
  const folder = await mkdtemp(join(tmpdir(), "turboclip-migrations-"));
  try {
    await applyMigrations(folder);
    await rm(join(folder, MIGRATED)); // as a folder is that wrangler has made
    await applyMigrations(folder);
    const args = ["d1", "migrations", "list", "DB", "--local", "--persist-to", folder];
    const env = { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_WRITE_LOGS: "false" };
    const child = spawn(join(ROOT, "node_modules/.bin/wrangler"), args, { cwd: ROOT, env });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
    expect([await once(child, "close"), output]).toEqual([
      [0, null],
      expect.stringContaining("No migrations to apply"),
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
