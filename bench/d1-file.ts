// The file in which the local D1 keeps the one database.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

export function databaseFile(home: string): string {
  const folder = join(home, "edge", "v3", "d1", "miniflare-D1DatabaseObject");
  const [file, ...others] = existsSync(folder)
    ? readdirSync(folder).filter((name) => name.endsWith(".sqlite") && name !== "metadata.sqlite")
    : [];
  if (file === undefined || others.length > 0) throw new Error(`${folder} holds no single database`);
  return join(folder, file);
}
