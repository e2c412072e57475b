// Which IP addresses are public, after IANA's special-purpose registries (RFC 6890 and its updates). IPv4 by what is
// not public; IPv6 by what is: global unicast, 2000::/3, less what in it is special. So mapped, translated, unique-local
// and link-local forms are refused without being named.

type Block = readonly [first: readonly number[], bits: number];

const V4_SPECIAL: readonly Block[] = [
  [[0, 0, 0, 0], 8], // this network
  [[10, 0, 0, 0], 8],
  [[100, 64, 0, 0], 10], // carrier-grade NAT
  [[127, 0, 0, 0], 8],
  [[169, 254, 0, 0], 16], // link-local, where clouds keep their metadata
  [[172, 16, 0, 0], 12],
  [[192, 0, 0, 0], 24],
  [[192, 0, 2, 0], 24],
  [[192, 88, 99, 0], 24], // 6to4 relays
  [[192, 168, 0, 0], 16],
  [[198, 18, 0, 0], 15],
  [[198, 51, 100, 0], 24],
  [[203, 0, 113, 0], 24],
  [[224, 0, 0, 0], 3], // multicast, reserved, broadcast
];

const V6_GLOBAL: Block = [[0x2000], 3];
const V6_SPECIAL: readonly Block[] = [
  [[0x2001, 0], 23], // protocol assignments, Teredo among them
  [[0x2001, 0xdb8], 32],
  [[0x2002], 16], // 6to4 holds an IPv4 address
  [[0x3fff, 0], 20],
];

/** Whether the first `bits` of both are the same; parts have `width` bits. */
function isWithin(address: readonly number[], [first, bits]: Block, width: number): boolean {
  for (let i = 0; i * width < bits; i++) {
    const shift = Math.max(0, (i + 1) * width - bits);
    if ((address[i] ?? 0) >> shift !== (first[i] ?? 0) >> shift) return false;
  }
  return true;
}

/** Dotted quads only, as URL parsers write them: they turn 0x7f.1, 017700000001 and 2130706433 into one. */
export function parseV4(text: string): readonly number[] | null {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) return null;
  const numbers = parts.map(Number);
  return numbers.every((number) => number <= 255) ? numbers : null;
}

/** Eight groups of an RFC 4291 text, without brackets or zone. */
export function parseV6(text: string): readonly number[] | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [head, tail] = halves.map(groups);
  if (head === undefined || head === null || tail === null) return null;
  if (tail === undefined) return head.length === 8 ? head : null;
  const missing = 8 - head.length - tail.length;
  return missing < 1 ? null : [...head, ...Array.from({ length: missing }, () => 0), ...tail];
}

function groups(text: string): number[] | null {
  if (text === "") return [];
  const parts = text.split(":");
  const all: number[] = [];
  for (const [i, part] of parts.entries()) {
    const quad = i === parts.length - 1 ? parseV4(part) : null;
    if (quad !== null) {
      const [a = 0, b = 0, c = 0, d = 0] = quad;
      all.push(a * 256 + b, c * 256 + d);
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) all.push(Number.parseInt(part, 16));
    else return null;
  }
  return all;
}

/** False for what is no address at all. */
export function isPublicAddress(text: string): boolean {
  const v4 = parseV4(text);
  if (v4 !== null) return !V4_SPECIAL.some((block) => isWithin(v4, block, 8));
  const v6 = parseV6(text);
  return v6 !== null && isWithin(v6, V6_GLOBAL, 16) && !V6_SPECIAL.some((block) => isWithin(v6, block, 16));
}
