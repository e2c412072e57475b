// Renders one clip to a file on this host, by the same engine process and stages as the runner's clips.
// What is unfinished stands in a folder beside the output, so that the last step is a rename: the file is
// there whole or not at all.
import { constants } from "node:fs";
import { access, copyFile, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { HeartbeatRequest } from "../../shared/contract/runner.ts";
import type { ModelOnDisk } from "../checkpoints/find.ts";
import { engineEnv } from "../engine/device.ts";
import { ENGINE_ENTRY, EngineHost } from "../engine/host.ts";
import type { Rendered } from "../engine/protocol.ts";
import { CommandCancelled, CommandError, UsageError } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { RenderSettings } from "./options.ts";

export interface RenderToFile {
  readonly model: ModelOnDisk;
  readonly settings: RenderSettings;
  readonly file: string;
  readonly poster: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Logger;
  readonly onProgress: (progress: HeartbeatRequest) => void;
  /** Aborted: the engine stops within a block and nothing is left. */
  readonly cancel: AbortSignal;
  /** Aborted: the engine process is ended whatever it does. */
  readonly kill: AbortSignal;
}

export interface RenderedFile extends Pick<Rendered, "outputs" | "timings"> {
  /** "cpu" or "cuda". */
  readonly backend: string;
}

/** Throws UsageError, CommandError, CommandCancelled, or EngineUnusableError. */
export async function renderToFile(job: RenderToFile): Promise<RenderedFile> {
  await requirePlace("--output", job.file);
  if (job.poster !== undefined) await requirePlace("--poster", job.poster);
  const folder = await mkdtemp(join(dirname(resolve(job.file)), ".turboclip-"));
  const engine = new EngineHost({
    entry: ENGINE_ENTRY,
    env: engineEnv(withTextEncoding(job), job.settings.device, job.settings.threads),
    log: job.log,
  });
  const kill = () => void engine.stop();
  job.kill.addEventListener("abort", kill, { once: true });
  try {
    const { backend } = await engine.whenReady();
    const rendered = await render(engine, job, folder);
    if (job.poster !== undefined) await moveInto(rendered.outputs.poster.path, job.poster);
    await rename(rendered.outputs.mp4.path, job.file);
    return { backend, outputs: rendered.outputs, timings: rendered.timings };
  } finally {
    job.kill.removeEventListener("abort", kill);
    await engine.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function withTextEncoding({ env, settings: { textEncoding } }: RenderToFile): NodeJS.ProcessEnv {
  return textEncoding === undefined ? env : { ...env, TURBOCLIP_TEXT_ENCODER: textEncoding };
}

async function render(engine: EngineHost, job: RenderToFile, folder: string): Promise<Rendered> {
  const { request, sampling } = job.settings;
  const { model, onProgress, cancel } = job;
  const outcome = await engine.render({ model, request, sampling, folder, onProgress, signal: cancel });
  if (cancel.aborted) throw new CommandCancelled("stopped; nothing was written");
  if (outcome.kind === "rendered") return outcome;
  throw new CommandError(outcome.kind === "failed" ? outcome.failure.message : `the engine ${outcome.kind} unasked`);
}

/** Found out before minutes are spent on the clip. */
async function requirePlace(option: string, file: string): Promise<void> {
  const entry = await stat(file).catch(() => undefined);
  if (entry !== undefined && !entry.isFile()) {
    throw new UsageError(`${option} ${file} is there and is no file; give the name of a file`);
  }
  const folder = dirname(resolve(file));
  try {
    await access(folder, constants.W_OK);
  } catch {
    throw new UsageError(`${option} ${file}: ${folder} is no folder that can be written to; make it, or name another`);
  }
}

/** The poster may go to another file system than the clip, where a rename does not reach. */
async function moveInto(from: string, to: string): Promise<void> {
  const folder = await mkdtemp(join(dirname(resolve(to)), ".turboclip-"));
  try {
    const near = join(folder, basename(to));
    await copyFile(from, near);
    await rename(near, to);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
