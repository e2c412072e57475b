// Seeded random numbers for the weights: the same seed gives the same model on every machine.

/** SplitMix32-style generator (Steele, Lea, Flood 2014, with Murmur3's finaliser): 32 random bits a call. */
export function bits32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
}

/** Starts each tensor's stream from its name, so that adding a tensor does not change the others. */
export function seedFor(seed: number, name: string): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0; // FNV-1a
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/**
 * Values with mean 0 and standard deviation 1 as the sum of four uniforms (Irwin-Hall): close enough to a
 * normal distribution for weights, and exact in floating point on every machine, unlike log and cos.
 */
export function normalValues(count: number, seed: number): Float32Array {
  const next = bits32(seed);
  const values = new Float32Array(count);
  const scale = Math.sqrt(3) / 65536; // four 16-bit uniforms have variance 4 * 65536^2 / 12
  for (let i = 0; i < count; i++) {
    const a = next();
    const b = next();
    const sum = (a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16);
    values[i] = (sum - 131070) * scale;
  }
  return values;
}
