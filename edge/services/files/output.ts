// Where an attempt's output lies in the bucket. The attempt is part of the key, so that the bytes of one can
// never take the place of another's.
import type { OutputKind } from "../../../shared/contract/runner.ts";
import type { ClipId } from "../../../shared/ids.ts";

export const OUTPUT_EXTENSIONS = { mp4: "mp4", poster: "jpg", preview: "gif" } as const satisfies Record<
  OutputKind,
  string
>;
const FILE_NAMES = { mp4: "clip", poster: "poster", preview: "preview" } as const satisfies Record<OutputKind, string>;

export function outputKey(clipId: ClipId, attempt: number, kind: OutputKind): string {
  return `clips/${clipId}/${attempt}/${FILE_NAMES[kind]}.${OUTPUT_EXTENSIONS[kind]}`;
}
