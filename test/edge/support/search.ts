// Looks for a text in all that the deployment keeps: every column of every table of the database, and every object.
import { env } from "./env.ts";

async function databaseText(): Promise<string> {
  const { results: tables } = await env.DB.prepare(
    "select name from sqlite_master where type = 'table' and name not like '\\_cf%' escape '\\'",
  ).all<{ name: string }>();
  const rows = await Promise.all(
    tables.map(async ({ name }) => [name, (await env.DB.prepare(`select * from "${name}"`).all()).results] as const),
  );
  return JSON.stringify(rows);
}

async function bucketText(): Promise<string> {
  const { objects } = await env.BUCKET.list();
  const bodies = await Promise.all(objects.map(async ({ key }) => [key, await (await env.BUCKET.get(key))?.text()]));
  return JSON.stringify(bodies);
}

export interface Found {
  readonly inDatabase: number;
  readonly inBucket: number;
}

export async function countOf(text: string): Promise<Found> {
  const count = (whole: string) => whole.split(text).length - 1;
  return { inDatabase: count(await databaseText()), inBucket: count(await bucketText()) };
}
