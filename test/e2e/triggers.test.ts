// Another system's webhook against the whole service: the GitHub workflow of docs/examples, its step run as a runner of
// GitHub's would, until the clip that it ordered is there.
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import * as z from "zod";
import { TurboclipClient } from "../../client/index.ts";
import { createAccount } from "../../scripts/local/account.ts";
import { issuedTriggerSchema, triggerDeliveryPageSchema, triggeredSchema } from "../../shared/contract/triggers.ts";
import { CREDIT_MICROS, type System, startSystem } from "./support.ts";

const run = promisify(execFile);
const WORKFLOW = resolve(import.meta.dirname, "../../docs/examples/clip-on-release.yml");
const RELEASE = { action: "published", release: { name: 'a "quoted" $(rocket)', tag_name: "v1.2.0" } };

/** What the test knows of a workflow: anything else in it is refused, so that none goes untested. */
const workflowSchema = z.strictObject({
  name: z.string(),
  on: z.strictObject({ release: z.strictObject({ types: z.tuple([z.literal("published")]) }) }),
  jobs: z.strictObject({
    clip: z.strictObject({
      "runs-on": z.string(),
      permissions: z.strictObject({}),
      steps: z.tuple([
        z.strictObject({
          name: z.string(),
          env: z.strictObject({ TRIGGER_URL: z.literal(`\${{ secrets.TURBOCLIP_TRIGGER_URL }}`) }),
          run: z.string(),
        }),
      ]),
    }),
  }),
});

let system: System;
beforeAll(async () => {
  system = await startSystem();
  await system.startRunner("runner");
});
afterAll(() => system?.close());

test("the example workflow orders one clip for a release, however often it is run", async () => {
  const { apiKey } = await createAccount(system.edge, "customer", CREDIT_MICROS);
  const authorization = { authorization: `Bearer ${apiKey}` };
  const wanted = {
    name: "releases",
    prompt: 'confetti over {{ $.release.name | "a release" }}',
    metadata: { tag: "{{ $.release.tag_name }}" },
    when: { "$.action": "published" },
    clip: { model: "turboclip-demo" },
  };
  const made = await fetch(`${system.edge.origin}/v1/triggers`, {
    method: "POST",
    headers: { ...authorization, "content-type": "application/json" },
    body: JSON.stringify(wanted),
  });
  const trigger = issuedTriggerSchema.parse(await made.json());

  const workflow = workflowSchema.parse(parse(await readFile(WORKFLOW, "utf8")));
  const eventPath = join(system.home, "event.json");
  await writeFile(eventPath, JSON.stringify(RELEASE));
  const env = {
    PATH: process.env.PATH,
    TRIGGER_URL: trigger.url,
    GITHUB_EVENT_PATH: eventPath,
    GITHUB_REPOSITORY: "octocat/Hello-World",
    GITHUB_RUN_ID: "1658821493",
  };
  const step = async () => {
    const { stdout } = await run("bash", ["-e", "-c", workflow.jobs.clip.steps[0].run], { env });
    return triggeredSchema.strict().parse(JSON.parse(stdout)).clip_id;
  };
  const id = await step();
  if (id === null) throw new Error("the release made no clip");
  expect(await step(), "a re-run of the workflow").toBe(id);

  const clip = await new TurboclipClient({ origin: system.edge.origin, apiKey }).waitForClip(id);
  const prompt = `confetti over ${RELEASE.release.name}`;
  expect(clip).toMatchObject({ state: "succeeded", prompt, metadata: { tag: "v1.2.0" } });
  const log = await fetch(`${system.edge.origin}/v1/triggers/${trigger.id}/deliveries`, { headers: authorization });
  const { data } = triggerDeliveryPageSchema.parse(await log.json());
  expect(data.map(({ outcome, clip_id }) => [outcome, clip_id])).toEqual([
    ["repeated", id],
    ["ordered", id],
  ]);
});
