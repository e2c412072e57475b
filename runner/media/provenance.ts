// Marks a clip as made by a model, as the IPTC asks of generative tools: an XMP packet with the digital source
// type, in the top-level `uuid` box that the XMP specification (part 3, 1.1.4) gives it in an MP4. ffmpeg does
// not write it, so it is appended: after the media data it moves nothing that the index points to, and players
// skip it. It says nothing about the clip but what made it.
import { appendFile } from "node:fs/promises";
import { readVersion } from "../version.ts";
import { MediaError } from "./ffmpeg.ts";

/** "turboclip 0.1.0". */
export const TOOL = `turboclip ${readVersion()}`;
/** For players and people that show no XMP: the MP4's comment, which ffmpeg writes. */
export const COMMENT = `AI-generated video, made with ${TOOL}`;

const XMP_BOX_ID = Buffer.from("be7acfcb97a942e89c71999491e3afac", "hex");
const BOX_HEADER_BYTES = 8;
const SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

const PACKET = [
  '<?xpacket begin="\uFEFF" id="W5M0MpCehiHzreSzNTczkc9d"?>',
  '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
  ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
  '  <rdf:Description rdf:about=""',
  '    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"',
  '    xmlns:xmp="http://ns.adobe.com/xap/1.0/"',
  `    Iptc4xmpExt:DigitalSourceType="${SOURCE_TYPE}"`,
  `    xmp:CreatorTool="${TOOL}"/>`,
  " </rdf:RDF>",
  "</x:xmpmeta>",
  '<?xpacket end="r"?>',
].join("\n");

function xmpBox(): Buffer {
  const packet = Buffer.from(PACKET, "utf8");
  const header = Buffer.alloc(BOX_HEADER_BYTES);
  header.writeUInt32BE(BOX_HEADER_BYTES + XMP_BOX_ID.length + packet.length, 0);
  header.write("uuid", 4, "latin1");
  return Buffer.concat([header, XMP_BOX_ID, packet]);
}

/** Appends the mark to a finished MP4. Throws a MediaError. */
export async function markAsGenerated(file: string): Promise<void> {
  try {
    await appendFile(file, xmpBox());
  } catch (error) {
    const full = error instanceof Error && "code" in error && error.code === "ENOSPC";
    const reason = error instanceof Error ? error.message : String(error);
    throw new MediaError(
      full ? "disk_full" : "failed",
      `${full ? "the disk is full" : "cannot mark the clip"}: ${reason}`,
    );
  }
}
