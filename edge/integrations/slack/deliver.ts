// A reply as Slack takes it (decision 0104): words by the command's response_url while it lives, the clip's files by the bot
// in the channel, and where the bot is not, a link.
import type { DueReply } from "../../../db/queries/chats/replies.ts";
import type { Lane } from "../../../db/schema.ts";
import type { Clip } from "../../../shared/contract/clips.ts";
import type { OutputKind } from "../../../shared/contract/runner.ts";
import type { ChatAdapter, FileOutcome, SendOutcome, Telling } from "../../services/chats/deliver.ts";
import { openInstallation } from "../../services/chats/installations.ts";
import { tokenContext } from "../../services/chats/order.ts";
import type { Place } from "../../services/chats/place.ts";
import { OUTPUT_EXTENSIONS, outputKey } from "../../services/files/output.ts";
import type { Ports } from "../../services/ports.ts";
import type { SlackApi } from "./api.ts";
import { clipMessage, fileComment } from "./message.ts";

type Source = Pick<Ports, "db" | "store" | "vault" | "log">;

/** Kept for the clip's end, one of them for a try that went wrong. */
const USES_KEPT = 2;
const NOT_INSTALLED = { kind: "refused", error: "the workspace has not installed the app" } as const;

export function slackAdapter(ports: Source, api: SlackApi, lane: Lane): ChatAdapter {
  const place: Place = { platform: "slack", placeId: lane.slice("slack:".length) };
  return {
    followsSteps: false,
    usesKept: USES_KEPT,
    // Each use makes a message of its own, so only what is worth one is told.
    sightOf: ({ state }) => state,
    advanceFiles: async (reply, clip) => await advanceFiles(ports, api, place, { reply, clip }),
    tell: async (reply, telling) => await tell(ports, api, place, { reply, telling }),
  };
}

interface Owed {
  readonly reply: DueReply;
  readonly clip: Clip;
}

/** First the files are uploaded, then posted: in between their ids are kept, so that no restart posts them twice. */
async function advanceFiles(ports: Source, api: SlackApi, place: Place, { reply, clip }: Owed): Promise<FileOutcome> {
  const installation = await openInstallation(ports, place);
  if (installation === null) return NOT_INSTALLED;
  const { token } = installation;
  const [first, ...rest] = reply.files?.ids ?? [];
  if (first === undefined) return await uploadFiles(ports, api, token, clip);
  const advanced = { kind: "advanced", files: { ids: [first, ...rest], posted: true } } as const;
  const shared = await api.isShared(token, first, reply.channelId);
  if (shared.kind === "failed" || shared.kind === "limited") return shared;
  if (shared.kind === "answered" && shared.value) return advanced;
  const comment = fileComment(clip, reply.userId);
  const outcome = await api.completeUpload(token, [first, ...rest], reply.channelId, comment);
  return outcome.kind === "sent" ? advanced : outcome;
}

async function uploadFiles(ports: Source, api: SlackApi, token: string, clip: Clip): Promise<FileOutcome> {
  const ids: string[] = [];
  for (const kind of ["mp4", "poster"] as const) {
    const file = await readOutput(ports, clip, kind);
    if (file === null) return { kind: "refused", error: "the clip's files are no longer kept" };
    const started = await api.startUpload(token, `clip.${OUTPUT_EXTENSIONS[kind]}`, file.byteLength);
    if (started.kind !== "answered") return started;
    const uploaded = await api.upload(started.value.url, file);
    if (uploaded.kind !== "sent") return uploaded;
    ids.push(started.value.id);
  }
  return { kind: "advanced", files: { ids, posted: false } };
}

async function readOutput(
  ports: Source,
  clip: Clip,
  kind: OutputKind & ("mp4" | "poster"),
): Promise<ArrayBuffer | null> {
  const file = clip.output?.[kind];
  if (file === undefined) return null;
  const body = await ports.store.read(outputKey(clip.id, clip.attempt, kind), 0, file.bytes);
  return body === null ? null : await new Response(body).arrayBuffer();
}

interface OwedWords {
  readonly reply: DueReply;
  readonly telling: Telling;
}

async function tell(ports: Source, api: SlackApi, place: Place, { reply, telling }: OwedWords): Promise<SendOutcome> {
  const { clip, late } = telling;
  const posted = reply.files?.posted === true;
  const mention = reply.route === "channel" ? reply.userId : null;
  const message = clipMessage(clip, { posted, late, mention });
  if (reply.route === "token") {
    if (reply.token === null) return { kind: "refused", error: "the command has no response_url any more" };
    const url = await ports.vault.open(reply.token, tokenContext(reply.platform, reply.id));
    // A clip that only a link shows is shown to the channel; all else concerns who ordered.
    const visible = clip?.state === "succeeded" && !posted;
    return await api.respond(url, message, visible ? "in_channel" : "ephemeral");
  }
  const installation = await openInstallation(ports, place);
  if (installation === null) return NOT_INSTALLED;
  // A user's id in a channel's place is the conversation of the bot and this user alone.
  return await api.postMessage(installation.token, reply.route === "channel" ? reply.channelId : reply.userId, message);
}
