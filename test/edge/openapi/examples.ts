// For each operation of the document a request that succeeds, made of things of its own, so that any order will do.
import { env } from "../support/env.ts";
import { type Call, call } from "../support/http.ts";
import { newKey } from "../support/keys.ts";
import { pictureFile } from "../support/pictures.ts";
import { newTrigger, TEMPLATE } from "../support/triggers.ts";
import { type Account, finishedClip, idFrom, newUpload, ORDER, TOP_UP } from "./deployment.ts";

export interface Example extends Call {
  readonly path: string;
}

const ORIGIN_OF_PAGE = "https://www.example.com";
export const BROWSER = { scopes: ["clips:read", "clips:write"], origins: [ORIGIN_OF_PAGE] } as const;
const ENDPOINTS = "/v1/webhook-endpoints";
const LINKS = "/v1/integrations/links";
const TRIGGERS = "/v1/triggers";
const DELIVERIES = "/v1/webhook-deliveries";

const AUTO_TOP_UP = { threshold_micros: 1_000_000, amount_micros: 5_000_000, monthly_cap_micros: 5_000_000 } as const;

/** What TEMPLATE takes from. */
export const POSTED = { name: "1.0" } as const;
export const pathOf = (url: string) => new URL(url).pathname;

export async function queuedClip(token: string): Promise<string> {
  return await idFrom(await call("POST", "/v1/clips", { token, body: ORDER }));
}

/** Cancelled at once, so that it is never another test's runner that gets it. */
export async function endedClip(token: string): Promise<string> {
  const id = await queuedClip(token);
  await (await call("POST", `/v1/clips/${id}/cancel`, { token })).text();
  return id;
}

export async function signedUrl(token: string): Promise<string> {
  const clip = await call("GET", `/v1/clips/${await finishedClip(token)}`, { token });
  return ((await clip.json()) as { output: { mp4: { url: string } } }).output.mp4.url;
}

export function videoForm(fields: Readonly<Record<string, string>> = {}): Pick<Call, "body" | "headers"> {
  const all = { ...ORDER, ...fields };
  const part = ([name, value]: [string, string]) =>
    `--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const body = `${Object.entries(all).map(part).join("")}--b--\r\n`;
  return { body, headers: { "content-type": "multipart/form-data; boundary=b" } };
}

export const EXAMPLES: Readonly<Record<string, (account: Account) => Promise<Example>>> = {
  downloadFile: async ({ bearer }) => ({ path: await signedUrl(bearer) }),
  createClip: async () => ({ path: "/v1/clips", body: ORDER }),
  listClips: async () => ({ path: "/v1/clips" }),
  estimateClip: async () => ({ path: "/v1/clips/estimate", body: ORDER }),
  getClip: async ({ bearer }) => ({ path: `/v1/clips/${await endedClip(bearer)}` }),
  deleteClip: async ({ bearer }) => ({ path: `/v1/clips/${await endedClip(bearer)}` }),
  watchClip: async ({ bearer }) => ({ path: `/v1/clips/${await endedClip(bearer)}/events` }),
  cancelClip: async ({ bearer }) => ({ path: `/v1/clips/${await queuedClip(bearer)}/cancel` }),
  createUpload: async () => ({ path: "/v1/uploads", body: { content_type: "image/png", bytes: 10 } }),
  completeUpload: async ({ bearer }) => {
    const id = await newUpload(bearer);
    await env.BUCKET.put(`uploads/${id}`, pictureFile("png"));
    return { path: `/v1/uploads/${id}/complete` };
  },
  getUpload: async ({ bearer }) => ({ path: `/v1/uploads/${await newUpload(bearer)}` }),
  deleteUpload: async ({ bearer }) => ({ path: `/v1/uploads/${await newUpload(bearer)}` }),
  createVideo: async () => ({ path: "/v1/videos", ...videoForm() }),
  listVideos: async () => ({ path: "/v1/videos" }),
  getVideo: async ({ bearer }) => ({ path: `/v1/videos/${await endedClip(bearer)}` }),
  deleteVideo: async ({ bearer }) => ({ path: `/v1/videos/${await endedClip(bearer)}` }),
  downloadVideo: async ({ bearer }) => ({ path: `/v1/videos/${await finishedClip(bearer)}/content` }),
  listModels: async () => ({ path: "/v1/models" }),
  getBalance: async () => ({ path: "/v1/balance" }),
  getBalanceAlert: async () => ({ path: "/v1/balance-alert" }),
  setBalanceAlert: async () => ({ path: "/v1/balance-alert", body: { threshold_micros: 1 } }),
  listLimits: async () => ({ path: "/v1/limits" }),
  createTopUp: async () => ({ path: "/v1/top-ups", body: TOP_UP }),
  listTopUps: async () => ({ path: "/v1/top-ups" }),
  getTopUp: async ({ owned }) => ({ path: `/v1/top-ups/${owned.top[0]}` }),
  getAutoTopUp: async () => ({ path: "/v1/auto-top-up" }),
  setAutoTopUp: async () => ({ path: "/v1/auto-top-up", body: AUTO_TOP_UP }),
  endAutoTopUp: async () => ({ path: "/v1/auto-top-up" }),
  getUsage: async () => ({ path: "/v1/usage" }),
  listLedger: async () => ({ path: "/v1/ledger" }),
  getStatement: async () => ({ path: "/v1/statements/2026-01.csv" }),
  listKeys: async () => ({ path: "/v1/keys" }),
  createKey: async () => ({ path: "/v1/keys", body: { name: "k", scopes: ["clips:read"] } }),
  getKey: async ({ tenant }) => ({ path: `/v1/keys/${tenant.keyId}` }),
  changeKey: async ({ tenant }) => ({ path: `/v1/keys/${(await newKey(tenant)).id}`, body: { name: "k" } }),
  revokeKey: async ({ tenant }) => ({ path: `/v1/keys/${(await newKey(tenant)).id}` }),
  rotateKey: async ({ tenant }) => ({ path: `/v1/keys/${(await newKey(tenant)).id}/rotate`, body: {} }),
  createBrowserToken: async () => ({ path: "/v1/browser-tokens", body: BROWSER }),
  createChatLink: async () => ({ path: LINKS, body: { platform: "discord" } }),
  listChatLinks: async () => ({ path: LINKS }),
  changeChatLink: async ({ owned }) => ({ path: `${LINKS}/${owned.lnk[0]}`, body: { channels: null } }),
  deleteChatLink: async ({ bearer: token }) => {
    const made = await call("POST", LINKS, { token, body: { platform: "discord" } });
    return { path: `${LINKS}/${await idFrom(made)}` };
  },
  listAuditLog: async () => ({ path: "/v1/audit-log" }),
  createTrigger: async () => ({ path: TRIGGERS, body: TEMPLATE }),
  listTriggers: async () => ({ path: TRIGGERS }),
  getTrigger: async ({ owned }) => ({ path: `${TRIGGERS}/${owned.trg[0]}` }),
  updateTrigger: async ({ owned }) => ({ path: `${TRIGGERS}/${owned.trg[0]}`, body: { name: "t" } }),
  deleteTrigger: async ({ bearer }) => ({ path: `${TRIGGERS}/${(await newTrigger(bearer)).id}` }),
  rotateTrigger: async ({ bearer }) => ({ path: `${TRIGGERS}/${(await newTrigger(bearer)).id}/rotate`, body: {} }),
  previewTrigger: async ({ owned }) => ({ path: `${TRIGGERS}/${owned.trg[0]}/preview`, body: { body: POSTED } }),
  listTriggerDeliveries: async ({ owned }) => ({ path: `${TRIGGERS}/${owned.trg[0]}/deliveries` }),
  deliver: async ({ bearer }) => ({ path: pathOf((await newTrigger(bearer)).url), body: POSTED }),
  createWebhookEndpoint: async () => ({ path: ENDPOINTS, body: { url: "http://127.0.0.1:9/hook" } }),
  listWebhookEndpoints: async () => ({ path: ENDPOINTS }),
  getWebhookEndpoint: async ({ owned }) => ({ path: `${ENDPOINTS}/${owned.whe[0]}` }),
  updateWebhookEndpoint: async ({ owned }) => ({ path: `${ENDPOINTS}/${owned.whe[0]}`, body: { enabled: true } }),
  deleteWebhookEndpoint: async ({ bearer: token }) => {
    const made = await call("POST", ENDPOINTS, { token, body: { url: "http://127.0.0.1:9/hook" } });
    return { path: `${ENDPOINTS}/${await idFrom(made)}` };
  },
  rotateWebhookEndpointSecret: async ({ owned }) => ({ path: `${ENDPOINTS}/${owned.whe[0]}/rotate-secret`, body: {} }),
  rotateWebhookSecret: async () => ({ path: "/v1/webhook-secret/rotate", body: {} }),
  testWebhookEndpoint: async ({ owned }) => ({ path: `${ENDPOINTS}/${owned.whe[0]}/test` }),
  listWebhookDeliveries: async () => ({ path: DELIVERIES }),
  listWebhookAttempts: async ({ owned }) => ({ path: `${DELIVERIES}/${owned.evt[0]}/attempts` }),
  replayWebhook: async ({ owned }) => ({ path: `${DELIVERIES}/${owned.evt[0]}/replay` }),
};
