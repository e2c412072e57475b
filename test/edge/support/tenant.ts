// A customer and a runner made through the operator's routes, for tests that go through HTTP only.
import { grantReplySchema, issuedKeySchema, issuedRunnerSchema } from "../../../shared/contract/admin.ts";
import { type Claim, claimSchema } from "../../../shared/contract/runner.ts";
import { env } from "./env.ts";
import { call } from "./http.ts";
import { DEMO, freshNonce } from "./world.ts";

export async function admin(method: string, path: string, body?: unknown, headers?: Record<string, string>) {
  const extra = { ...(body !== undefined && { body }), ...(headers !== undefined && { headers }) };
  return await call(method, `/admin/v1${path}`, { token: env.ADMIN_TOKEN, ...extra });
}

export interface Tenant {
  readonly accountId: string;
  readonly keyId: string;
  readonly key: string;
}

export async function newTenant(creditMicros = 1_000_000): Promise<Tenant> {
  const { id: accountId } = (await (await admin("POST", "/accounts", { name: "a customer" })).json()) as { id: string };
  const grant = { amount_micros: creditMicros, reason: "test", idempotency_key: "first" };
  if (creditMicros > 0) {
    grantReplySchema.parse(await (await admin("POST", `/accounts/${accountId}/grants`, grant)).json());
  }
  const issued = await (await admin("POST", `/accounts/${accountId}/keys`, { name: "a key" })).json();
  const { id: keyId, key } = issuedKeySchema.parse(issued);
  return { accountId, keyId, key };
}

export interface TestRunner {
  readonly id: string;
  readonly token: string;
}

export async function newRunner(): Promise<TestRunner> {
  const issued = await (await admin("POST", "/runners", { name: "a runner" })).json();
  const { runner_id: id, token } = issuedRunnerSchema.parse(issued);
  return { id, token };
}

export function pollBody(runner: TestRunner, wanted: object = {}) {
  const base = { runner_id: runner.id, nonce: freshNonce(), models: [DEMO], loaded_model: null, version: "0.1.0" };
  return { ...base, wait_s: 0, ...wanted };
}

export async function pollOnce(runner: TestRunner, wanted: object = {}): Promise<Response> {
  return await call("POST", "/runner/v1/poll", { token: runner.token, body: pollBody(runner, wanted) });
}

export async function claimOne(runner: TestRunner): Promise<Claim> {
  return claimSchema.parse(await (await pollOnce(runner)).json());
}
