// Names a checkpoint by what is in it, so that a clip can say which one made it.
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { basename } from "node:path";

const BLOCK_BYTES = 64 * 1024;
const BLOCKS = 64;
/** The directory of a .pth, a ZIP, is at its end and has the CRC-32 of every tensor. */
const TAIL_BYTES = 1024 * 1024;
const SHOWN_DIGITS = 12;

/** Where to read: all of a small file; of a large one blocks that are spread evenly over it, and its end. */
function spansOf(bytes: number): readonly { readonly at: number; readonly length: number }[] {
  if (bytes <= BLOCKS * BLOCK_BYTES + TAIL_BYTES) return [{ at: 0, length: bytes }];
  const step = Math.floor((bytes - TAIL_BYTES) / BLOCKS);
  const blocks = Array.from({ length: BLOCKS }, (_, i) => ({ at: i * step, length: BLOCK_BYTES }));
  return [...blocks, { at: bytes - TAIL_BYTES, length: TAIL_BYTES }];
}

/**
 * Like `TurboWan-Demo-quant@3fa1b2c4d5e6`: the file's name and the begin of a SHA-256 over its size and 5 MiB of it, so that
 * 28 GB take as long as 5 MiB. Other weights, another name; it is no proof that every byte is whole.
 */
export async function checkpointVersion(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const hash = createHash("sha256").update(`${size}\n`);
    for (const { at, length } of spansOf(size)) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at);
      hash.update(buffer.subarray(0, bytesRead));
    }
    return `${basename(path).replace(/\.[a-z]+$/, "")}@${hash.digest("hex").slice(0, SHOWN_DIGITS)}`;
  } finally {
    await file.close();
  }
}
