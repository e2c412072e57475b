// Stand-ins for ffmpeg that do something else with a clip's MP4; the rest (version, probe, poster) is the real
// one's.
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findFfmpeg } from "../../../runner/media/locate.ts";

export interface HeldFfmpeg {
  readonly path: string;
  letGo(): Promise<void>;
}

/** Does not begin until it is let go; ends with the process that started it, as the real one does. */
export async function heldFfmpeg(folder: string): Promise<HeldFfmpeg> {
  const gate = join(folder, "gate");
  const wait = `while [ ! -e '${gate}' ]; do [ -e "/proc/$PPID" ] || exit 1; sleep 0.01; done`;
  return { path: await standIn(folder, wait), letGo: () => writeFile(gate, "") };
}

/** Writes where there is no space, as ffmpeg does in a work folder on a full disk. */
export async function fullDiskFfmpeg(folder: string): Promise<string> {
  return standIn(folder, 'for last; do :; done; rm -f "$last"; ln -s /dev/full "$last"');
}

/** `before` runs before the real one does the MP4. */
async function standIn(folder: string, before: string): Promise<string> {
  const path = join(folder, "stand-in-ffmpeg");
  const real = await findFfmpeg(process.env);
  await writeFile(path, `#!/bin/sh\ncase "$*" in *clip.mp4) ${before} ;; esac\nexec '${real.path}' "$@"\n`);
  await chmod(path, 0o755);
  return path;
}
