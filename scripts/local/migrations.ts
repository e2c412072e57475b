// The local database's migrations, as `wrangler d1 migrations apply --local` applies and records them. That command
// starts workerd once for each file, a second or more each; this starts it once for all.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { D1Database } from "@cloudflare/workers-types";
import { getPlatformProxy, unstable_readConfig, unstable_splitSqlQuery } from "wrangler";

const ROOT = resolve(import.meta.dirname, "../..");
const FOLDER = join(ROOT, "db", "migrations");

/** The file that names what a folder's database was last brought up to. */
export const MIGRATED = ".migrated";

/** Wrangler's own table, so that its commands and the edge's /readyz read what was applied here. */
const TABLE = `create table if not exists d1_migrations (
  id integer primary key autoincrement, name text unique, applied_at timestamp default current_timestamp not null)`;

/** The Worker's settings without all but its database: nothing else is to be started, or warned of. */
async function databaseConfig(folder: string): Promise<string> {
  const config = unstable_readConfig({ config: join(ROOT, "wrangler.toml") }, { hideWarnings: true });
  const { name, compatibility_date, d1_databases } = config;
  const path = join(folder, "migrations.json");
  await writeFile(path, JSON.stringify({ name, compatibility_date, d1_databases }));
  return path;
}

interface Migration {
  readonly name: string;
  readonly text: string;
}

async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(FOLDER, { encoding: "utf8" })).filter((name) => name.endsWith(".sql")).sort();
  return await Promise.all(names.map(async (name) => ({ name, text: await readFile(join(FOLDER, name), "utf8") })));
}

/** Brings the database under this folder (wrangler's `--persist-to`) up to date, each file whole or not at all. */
export async function applyMigrations(persistTo: string): Promise<void> {
  const migrations = await readMigrations();
  const hash = createHash("sha256").update(JSON.stringify(migrations)).digest("hex");
  // Most starts find nothing new, and are spared a workerd of its own.
  const stamp = join(persistTo, MIGRATED);
  if ((await readFile(stamp, "utf8").catch(() => null)) === hash) return;
  await mkdir(persistTo, { recursive: true });
  const { env, dispose } = await getPlatformProxy<{ readonly DB: D1Database }>({
    configPath: await databaseConfig(persistTo),
    envFiles: [],
    persist: { path: join(persistTo, "v3") },
    remoteBindings: false,
  });
  try {
    await env.DB.prepare(TABLE).run();
    const { results } = await env.DB.prepare("select name from d1_migrations").all<{ name: string }>();
    const applied = new Set(results.map(({ name }) => name));
    for (const { name, text } of migrations.filter((migration) => !applied.has(migration.name))) {
      const statements = unstable_splitSqlQuery(text);
      const record = env.DB.prepare("insert into d1_migrations (name) values (?)").bind(name);
      await env.DB.batch([...statements.map((statement) => env.DB.prepare(statement)), record]).catch((error) => {
        throw new Error(`cannot apply the database migration ${name}`, { cause: error });
      });
    }
  } finally {
    await dispose();
  }
  await writeFile(stamp, hash);
}
