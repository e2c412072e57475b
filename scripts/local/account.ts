// Accounts, credit, keys and runner tokens through the edge's admin routes, for local use and tests.
import * as z from "zod";
import type { Edge } from "./edge.ts";

async function admin<T>(edge: Edge, path: string, body: unknown, schema: z.ZodType<T>): Promise<T> {
  const answer = await fetch(`${edge.origin}/admin/v1${path}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${edge.adminToken}`,
      "content-type": "application/json",
      "idempotency-key": crypto.randomUUID(),
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`POST /admin/v1${path} answered ${answer.status}: ${text}`);
  return schema.parse(JSON.parse(text));
}

export interface LocalAccount {
  readonly accountId: string;
  readonly apiKey: string;
}

/** An account with credit (micro-dollars) and one API key. */
export async function createAccount(edge: Edge, name: string, creditMicros: number): Promise<LocalAccount> {
  const account = await admin(edge, "/accounts", { name }, z.object({ id: z.string() }));
  await admin(
    edge,
    `/accounts/${account.id}/grants`,
    { amount_micros: creditMicros, reason: "local credit" },
    z.unknown(),
  );
  const key = await admin(edge, `/accounts/${account.id}/keys`, { name }, z.object({ key: z.string() }));
  return { accountId: account.id, apiKey: key.key };
}

export interface RunnerIdentity {
  readonly runnerId: string;
  readonly token: string;
}

export async function createRunner(edge: Edge, name: string): Promise<RunnerIdentity> {
  const schema = z.object({ runner_id: z.string(), token: z.string() });
  const runner = await admin(edge, "/runners", { name }, schema);
  return { runnerId: runner.runner_id, token: runner.token };
}
