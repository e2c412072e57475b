// Whether a request would find what it needs: the database, all its migrations, and the bucket.
import { listMigrations, MIGRATIONS } from "../../../db/queries/migrations.ts";
import type { Ports } from "../ports.ts";

/** No object is ever called so; asking for it shows that the bucket answers. */
const ABSENT_KEY = "readyz";

export interface Readiness {
  readonly ready: boolean;
  /** Each "ok", or what is wrong and what to do. */
  readonly checks: Readonly<Record<"database" | "migrations" | "bucket", string>>;
}

/** A database that has had more migrations is of a newer version, which is no fault. */
export async function checkReadiness(ports: Pick<Ports, "db" | "store">): Promise<Readiness> {
  const [database, bucket] = await Promise.all([
    listMigrations(ports.db).catch(() => null),
    ports.store.head(ABSENT_KEY).then(
      () => "ok",
      () => "does not answer",
    ),
  ]);
  const checks = {
    database: database === null ? "does not answer" : "ok",
    migrations: missingOf(database),
    bucket,
  };
  return { ready: Object.values(checks).every((check) => check === "ok"), checks };
}

function missingOf(applied: readonly string[] | null): string {
  if (applied === null) return "unknown";
  const missing = MIGRATIONS.filter((name) => !applied.includes(name));
  return missing.length === 0 ? "ok" : `apply ${missing.join(", ")} (wrangler d1 migrations apply)`;
}
