// Keys of an account with chosen scopes, caps and expiries.
import { issuedKeySchema } from "../../../shared/contract/admin.ts";
import { SCOPES, type Scope } from "../../../shared/contract/keys.ts";
import { admin, type Tenant } from "./tenant.ts";

export interface TestKey {
  readonly id: string;
  readonly key: string;
  readonly prefix: string;
}

export async function newKey(
  { accountId }: Pick<Tenant, "accountId">,
  wanted: { scopes?: readonly Scope[]; daily_cap_micros?: number; expires_at?: string } = {},
): Promise<TestKey> {
  const answer = await admin("POST", `/accounts/${accountId}/keys`, { name: "k", scopes: SCOPES, ...wanted });
  return issuedKeySchema.parse(await answer.json());
}
