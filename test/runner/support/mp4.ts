// Reads an MP4's boxes as far as tests look at them (ISO/IEC 14496-12).

export interface Box {
  readonly type: string;
  readonly start: number;
  readonly body: Buffer;
}

/** The boxes that follow each other in the buffer. */
export function boxes(buffer: Buffer): Box[] {
  const found: Box[] = [];
  for (let at = 0; at + 8 <= buffer.length; ) {
    const size = buffer.readUInt32BE(at);
    if (size < 8 || at + size > buffer.length) throw new Error(`a box of ${size} bytes at ${at} of ${buffer.length}`);
    found.push({
      type: buffer.toString("latin1", at + 4, at + 8),
      start: at,
      body: buffer.subarray(at + 8, at + size),
    });
    at += size;
  }
  return found;
}

function descend(buffer: Buffer, path: readonly string[]): Buffer {
  return path.reduce((body, type) => {
    const box = boxes(body).find((candidate) => candidate.type === type);
    if (box === undefined)
      throw new Error(
        `no ${type} among ${boxes(body)
          .map((other) => other.type)
          .join(", ")}`,
      );
    return box.body;
  }, buffer);
}

export interface Mp4 {
  readonly topLevel: readonly string[];
  readonly width: number;
  readonly height: number;
  readonly samples: number;
  readonly seconds: number;
  /** H.264 profile_idc; 100 is High. */
  readonly profile: number;
  /** [primaries, transfer, matrix, full range], or undefined without a colr box. */
  readonly colour: readonly [number, number, number, boolean] | undefined;
}

const STBL = ["moov", "trak", "mdia", "minf", "stbl"] as const;
/** A version and flags, an entry count. */
const FULL_BOX_COUNT = 8;
/** Fields of VisualSampleEntry before its boxes. */
const VISUAL_ENTRY = 78;

export function readMp4(file: Buffer): Mp4 {
  const entry = boxes(descend(file, [...STBL, "stsd"]).subarray(FULL_BOX_COUNT))[0];
  if (entry?.type !== "avc1") throw new Error(`the sample entry is ${entry?.type}`);
  const inside = boxes(entry.body.subarray(VISUAL_ENTRY));
  const avcC = inside.find((box) => box.type === "avcC")?.body;
  const colr = inside.find((box) => box.type === "colr")?.body;
  const mdhd = descend(file, ["moov", "trak", "mdia", "mdhd"]);
  return {
    topLevel: boxes(file).map((box) => box.type),
    width: entry.body.readUInt16BE(24),
    height: entry.body.readUInt16BE(26),
    samples: descend(file, [...STBL, "stsz"]).readUInt32BE(8),
    seconds: mdhd.readUInt32BE(16) / mdhd.readUInt32BE(12),
    profile: avcC?.[1] ?? 0,
    colour:
      colr?.toString("latin1", 0, 4) === "nclx"
        ? [colr.readUInt16BE(4), colr.readUInt16BE(6), colr.readUInt16BE(8), ((colr[10] ?? 0) & 0x80) !== 0]
        : undefined,
  };
}
