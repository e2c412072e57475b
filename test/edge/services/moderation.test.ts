// Moderation: what is refused costs nothing and is never handed out, whatever dies meanwhile.
import { Webhook } from "standardwebhooks";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { listAudit } from "../../../edge/services/audit.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { moderatorByHttp } from "../../../edge/services/moderation/remote.ts";
import { moderatorByTerms, plainly } from "../../../edge/services/moderation/terms.ts";
import type { ClipReview, Moderator, OutboundAnswer, PromptReview, Verdict } from "../../../edge/services/ports.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { Receivers } from "../support/receivers.ts";
import { completion, DEMO, freshDeployment, World } from "../support/world.ts";

const ALLOWED: Verdict = { allowed: true };
const REFUSED: Verdict = { allowed: false, by: "test", reason: "a knife" };

/** Says what it is told to, and keeps what it was asked. */
class ScriptedModerator implements Moderator {
  ofPrompts: () => Promise<Verdict> = async () => ALLOWED;
  ofClips: () => Promise<Verdict> = async () => ALLOWED;
  readonly prompts: PromptReview[] = [];
  readonly clips: ClipReview[] = [];

  async reviewPrompt(review: PromptReview): Promise<Verdict> {
    this.prompts.push(review);
    return await this.ofPrompts();
  }

  async reviewClip(review: ClipReview): Promise<Verdict> {
    this.clips.push(review);
    return await this.ofClips();
  }
}

const silence = async () => {
  throw new Error("connection refused");
};

let moderator: ScriptedModerator;
let logged: string[];
const flaky = flakyDatabase();

function newWorld(withoutVerdict: "wait" | "allow" = "wait", moderators: readonly Moderator[] = [moderator]): World {
  return new World({
    db: flaky.db,
    moderation: { moderators, withoutVerdict },
    log: (level, message) => logged.push(`${level} ${message}`),
  });
}

async function audited(): Promise<unknown[]> {
  const { results } = await env.DB.prepare(
    "select action, actor, subject, detail from audit_log where action like '%.refused'",
  ).all();
  return results;
}

beforeEach(async () => {
  await freshDeployment();
  moderator = new ScriptedModerator();
  logged = [];
});

describe("a prompt", () => {
  test("that is refused holds nothing, makes nothing, and is in the audit log without its words", async () => {
    const world = newWorld();
    const account = await world.account();
    moderator.ofPrompts = async () => REFUSED;
    await expect(world.order(account, { prompt: "a sharp thing" })).rejects.toMatchObject({
      code: "moderated",
      pointer: "/prompt",
    });
    expect(await env.DB.prepare("select count(*) as n from clips").first("n")).toBe(0);
    expect(await env.DB.prepare("select pending_micros from balances").first("pending_micros")).toBe(0);
    const { keyId } = world.caller(account);
    const detail = JSON.stringify({ by: "test", reason: "a knife" });
    expect(await audited()).toEqual([{ action: "prompt.refused", actor: "operator", subject: keyId, detail }]);
    expect(JSON.stringify(await everything())).not.toContain("sharp");
    const entryFor = async (whose: AccountId | null) =>
      (await listAudit(world.ports, whose, { limit: 10, after: undefined })).data.find(
        ({ action }) => action === "prompt.refused",
      );
    expect(await entryFor(account)).toMatchObject({ detail: {} });
    expect(await entryFor(null)).toMatchObject({ detail: { by: "test", reason: "a knife" } });
    await expectInvariants();
  });

  test("is not in the audit log either when the moderator repeats it as its reason", async () => {
    const world = newWorld();
    const account = await world.account();
    moderator.ofPrompts = async () => ({ ...REFUSED, reason: "weapon: a Turquoíse elephant, 刀子!" });
    await expect(world.order(account, { prompt: "my turquoise elephant with 刀" })).rejects.toThrow();
    const detail = JSON.stringify({ by: "test", reason: "weapon: a … …, …子!" });
    expect(await audited()).toMatchObject([{ action: "prompt.refused", detail }]);
  });

  test("is shown to the moderator with its model and account, and an allowed one is ordered", async () => {
    const world = newWorld();
    const account = await world.account();
    await world.order(account, { prompt: "a red ball" });
    expect(moderator.prompts).toMatchObject([{ accountId: account, model: DEMO, prompt: "a red ball" }]);
    expect(await audited()).toEqual([]);
  });

  test("that was ordered before is answered as then, whatever the moderator says now", async () => {
    const world = newWorld();
    const account = await world.account();
    const first = await world.order(account, {}, "once");
    moderator.ofPrompts = async () => REFUSED;
    expect(await world.order(account, {}, "once")).toEqual(first);
  });

  test("waits for a moderator that has no verdict, and nothing is written", async () => {
    const world = newWorld();
    const account = await world.account();
    const before = await everything();
    moderator.ofPrompts = silence;
    await expect(world.order(account)).rejects.toMatchObject({ code: "moderation_unavailable" });
    expect(await everything()).toEqual(before);
    expect(logged).toEqual(["warn a moderator gave no verdict"]);
  });

  test("passes a moderator that has no verdict where the deployment says so, but not the next one's refusal", async () => {
    moderator.ofPrompts = silence;
    const world = newWorld("allow", [moderator, moderatorByTerms(["knife"])]);
    const account = await world.account();
    await world.order(account);
    await expect(world.order(account, { prompt: "a Knife." })).rejects.toMatchObject({ code: "moderated" });
  });
});

describe("a made clip", () => {
  async function made(world: World) {
    const account = await world.account();
    const clip = await world.order(account);
    const { claim, ref } = await world.start(await world.runner());
    await world.upload(claim);
    return {
      account,
      id: clip.id,
      ref,
      finish: async () => await completeAttempt(world.ports, ref, await completion()),
    };
  }
  const balance = async (account: AccountId) =>
    await env.DB.prepare("select posted_micros, pending_micros from balances where account_id = ?")
      .bind(account)
      .first();

  test("that is refused has failed, is free, is not handed out, and is in the audit log", async () => {
    const world = newWorld();
    const { account, id, finish } = await made(world);
    moderator.ofClips = async () => REFUSED;
    expect(await finish()).toEqual({ state: "failed" });
    expect(await world.get(account, id)).toMatchObject({
      state: "failed",
      charged_micros: 0,
      output: null,
      error: { code: "moderated" },
    });
    expect(await balance(account)).toEqual({ posted_micros: 1_000_000, pending_micros: 0 });
    expect(await audited()).toMatchObject([{ action: "clip.refused", subject: id }]);
    expect(await env.DB.prepare("select count(*) as n from output_removals").first("n")).toBeGreaterThan(0);
    await expectInvariants();
  });

  test("is shown to the moderator by signed URLs of its poster and video", async () => {
    const world = newWorld();
    const { id, finish } = await made(world);
    expect(await finish()).toEqual({ state: "succeeded" });
    const [review] = moderator.clips;
    expect(review).toMatchObject({ clipId: id, model: DEMO, prompt: "a red ball" });
    expect(Object.keys(review?.files ?? {}).toSorted()).toEqual(["mp4", "poster"]);
    expect(review?.files.poster).toContain(`/v1/files/${id}/poster?attempt=1&`);
  });

  test("that was refused is refused again, once, when the runner did not hear the answer", async () => {
    const world = newWorld();
    const { finish } = await made(world);
    moderator.ofClips = async () => REFUSED;
    flaky.lose("answer");
    await expect(finish()).rejects.toThrow("Network connection lost");
    moderator.ofClips = async () => ALLOWED;
    expect(await finish()).toEqual({ state: "failed" });
    expect(await audited()).toHaveLength(1);
    await expectInvariants();
  });

  test("that two requests complete at once is refused once", async () => {
    const world = newWorld();
    const { finish } = await made(world);
    moderator.ofClips = async () => REFUSED;
    expect(await Promise.all([finish(), finish()])).toEqual([{ state: "failed" }, { state: "failed" }]);
    expect(await audited()).toHaveLength(1);
    await expectInvariants();
  });

  test("waits for a moderator that has no verdict: the runner completes it again", async () => {
    const world = newWorld();
    const { finish } = await made(world);
    moderator.ofClips = silence;
    await expect(finish()).rejects.toMatchObject({ code: "moderation_unavailable" });
    moderator.ofClips = async () => ALLOWED;
    expect(await finish()).toEqual({ state: "succeeded" });
    await expectInvariants();
  });
});

describe("the built-in moderator", () => {
  const verdictOn = async (prompt: string, terms: readonly string[]) =>
    (await moderatorByTerms(terms).reviewPrompt({ accountId: "acct_1" as AccountId, model: DEMO, prompt })).allowed;

  test.each([
    ["a KNIFE in a block", "knife"],
    ["a knife, sharp", "Knife"],
    ["a ｋｎｉｆｅ", "knife"],
    ["a kn\u200bife", "knife"],
    ["a knífe", "knife"],
    ["a kitchen   knife", "kitchen knife"],
    ["a kitchen-knife", "kitchen knife"],
    ["厨房里的刀子", "刀子"],
  ])("refuses %j by the term %j", async (prompt, term) => {
    expect(await verdictOn(prompt, [term])).toBe(false);
  });

  test.each([
    ["a penknife", "knife"],
    ["knives", "knife"],
    ["a kitchen without a knife", "kitchen knife"],
    ["a red ball", "knife"],
  ])("allows %j by the term %j", async (prompt, term) => {
    expect(await verdictOn(prompt, [term])).toBe(true);
  });

  test("reads a text of nothing but signs as no words", () => {
    expect(plainly("?! --")).toBe("  ");
  });
});

describe("a moderator that is asked by HTTP", () => {
  const SECRET = `whsec_${btoa("0123456789abcdef0123456789abcdef")}`;
  const REVIEW = { accountId: "acct_1" as AccountId, model: DEMO, prompt: "a red ball" };
  const NOW_MS = Date.UTC(2026, 10, 23, 12);
  let receivers: Receivers;
  beforeEach(() => {
    receivers = new Receivers();
  });

  function remote(answer: Partial<OutboundAnswer> | Error, host = "moderator.example"): Moderator {
    receivers.host(host, async () => {
      if (answer instanceof Error) throw answer;
      return { status: 200, retryAfter: null, body: '{"allowed":true}', ...answer };
    });
    const { ports } = new World({ outbound: receivers, resolver: receivers });
    return moderatorByHttp(ports, { url: `https://${host}/review`, secret: SECRET });
  }

  test("gets a signed question, and its verdict counts", async () => {
    const body = '{"allowed":false,"reason":"a ball"}';
    expect(await remote({ body }).reviewPrompt(REVIEW)).toEqual({ allowed: false, by: "http", reason: "a ball" });
    const [post] = receivers.received;
    if (post === undefined) throw new Error("nothing was asked");
    vi.useFakeTimers({ now: NOW_MS, toFake: ["Date"] });
    try {
      expect(new Webhook(SECRET).verify(post.body, { ...post.headers })).toEqual(JSON.parse(post.body));
    } finally {
      vi.useRealTimers();
    }
    expect(JSON.parse(post.body)).toEqual({ type: "prompt", account_id: "acct_1", model: DEMO, prompt: "a red ball" });
  });

  test("gets the files of a made clip", async () => {
    const files = { poster: "https://example.com/poster" };
    expect(await remote({}).reviewClip({ ...REVIEW, clipId: "clip_1" as ClipReview["clipId"], files })).toEqual(
      ALLOWED,
    );
    expect(JSON.parse(receivers.received[0]?.body ?? "")).toMatchObject({ type: "clip", clip_id: "clip_1", files });
  });

  test.each([
    ["500", { status: 500 }],
    ["a redirect", { status: 302 }],
    ["no JSON", { body: "yes" }],
    ["another shape", { body: '{"ok":true}' }],
    ["a verdict that is no truth value", { body: '{"allowed":"no"}' }],
    ["no answer", new Error("the connection broke")],
  ] as const)("has no verdict when it answers %s", async (_, answer) => {
    await expect(remote(answer).reviewPrompt(REVIEW)).rejects.toThrow();
  });

  test("is never asked at a private address", async () => {
    const { ports } = new World({ outbound: receivers, resolver: receivers });
    const inside = moderatorByHttp(ports, { url: "https://169.254.169.254/", secret: SECRET });
    await expect(inside.reviewPrompt(REVIEW)).rejects.toThrow("private");
    expect(receivers.received).toEqual([]);
  });
});
