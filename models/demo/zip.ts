// A zip archive of stored entries, laid out as torch.save lays it out: the data of every entry begins at a
// multiple of 64 bytes (padding in the local header's extra field), so that a reader can map tensors in place.
// Format: APPNOTE.TXT 6.3 (PKWARE); archives under 4 GiB only, which needs no zip64.
import { crc32 } from "node:zlib";

export interface ZipEntry {
  readonly name: string;
  readonly data: Uint8Array;
}

const ALIGNMENT = 64;
const LOCAL_HEADER_BYTES = 30;
/** The extra field's id and length come before its padding. */
const EXTRA_HEADER_BYTES = 4;
const VERSION_NEEDED = 20;

function localHeader(name: Buffer, entry: ZipEntry, crc: number, offset: number): Buffer {
  const unpadded = offset + LOCAL_HEADER_BYTES + name.length + EXTRA_HEADER_BYTES;
  const padding = (ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT;
  const header = Buffer.alloc(LOCAL_HEADER_BYTES);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(VERSION_NEEDED, 4);
  header.writeUInt32LE(crc, 14);
  header.writeUInt32LE(entry.data.byteLength, 18);
  header.writeUInt32LE(entry.data.byteLength, 22);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(EXTRA_HEADER_BYTES + padding, 28);
  const extra = Buffer.alloc(EXTRA_HEADER_BYTES + padding, "Z");
  extra.write("FB", 0, "latin1");
  extra.writeUInt16LE(padding, 2);
  return Buffer.concat([header, name, extra]);
}

function centralHeader(name: Buffer, entry: ZipEntry, crc: number, offset: number): Buffer {
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(VERSION_NEEDED, 4);
  header.writeUInt16LE(VERSION_NEEDED, 6);
  header.writeUInt32LE(crc, 16);
  header.writeUInt32LE(entry.data.byteLength, 20);
  header.writeUInt32LE(entry.data.byteLength, 24);
  header.writeUInt16LE(name.length, 28);
  header.writeUInt32LE(offset, 42);
  return Buffer.concat([header, name]);
}

/** The whole archive; entries keep their order, times are zero, so equal entries give equal bytes. */
export function storedZip(entries: readonly ZipEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name, "utf8");
    const crc = crc32(entry.data);
    const header = localHeader(name, entry, crc, offset);
    directory.push(centralHeader(name, entry, crc, offset));
    parts.push(header, entry.data);
    offset += header.length + entry.data.byteLength;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}
