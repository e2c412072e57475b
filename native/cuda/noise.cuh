// The Gaussian noise of docs/noise.md on the device, with the bits of engine/sampler/noise.cpp: only
// operations that IEEE 754 rounds correctly, each written out. What includes this is compiled without
// contraction.
#pragma once

#include "cuda/simt.cuh"
#include "engine/sampler/philox.h"

namespace turboclip::cuda {

/// (bits + 0.5) * 2^-32, in (0, 1].
__device__ __forceinline__ float unit_interval(std::uint32_t bits) {
  return fmaf(static_cast<float>(bits), 0x1p-32f, 0x1p-33f);
}

/// Natural logarithm of x in [2^-33, 1]: x = 2^e * (1 + f), log(1 + f) = f - f^2 / 2 + f^3 P(f).
__device__ __forceinline__ float log_polynomial(float x) {
  constexpr std::uint32_t kSqrtHalf = 0x3f3504f3u;
  const std::uint32_t bits = __float_as_uint(x) - kSqrtHalf;
  const auto exponent = static_cast<float>(static_cast<std::int32_t>(bits) >> 23);
  const float f = __uint_as_float((bits & 0x007fffffu) + kSqrtHalf) - 1.0f;
  const float square = f * f;
  float p = 0.06917984f;
  p = fmaf(p, f, -0.11779667f);
  p = fmaf(p, f, 0.11866035f);
  p = fmaf(p, f, -0.12385798f);
  p = fmaf(p, f, 0.14219919f);
  p = fmaf(p, f, -0.16669197f);
  p = fmaf(p, f, 0.20002152f);
  p = fmaf(p, f, -0.24999987f);
  p = fmaf(p, f, 0.3333331f);
  float y = (f * square) * p;
  y = fmaf(exponent, -2.12194440e-4f, y);
  y = fmaf(-0.5f, square, y);
  y = f + y;
  return fmaf(exponent, 0.693359375f, y);
}

/// sin (x) and cos (y) of pi * a for a in [0, 2].
__device__ __forceinline__ float2 sincospi_polynomial(float a) {
  const auto quarters = static_cast<std::int32_t>(fmaf(a, 2.0f, 0.5f));
  const float r = fmaf(static_cast<float>(quarters), -0.5f, a);
  const float z = r * r;
  float s = 0x1.4bc256p-4f;
  s = fmaf(s, z, -0x1.32ca86p-1f);
  s = fmaf(s, z, 0x1.466bbap+1f);
  s = fmaf(s, z, -0x1.4abbcep+2f);
  s = fmaf(s, z, 0x1.921fb6p+1f);
  s = s * r;
  float c = 0x1.d9c364p-3f;
  c = fmaf(c, z, -0x1.55c57cp+0f);
  c = fmaf(c, z, 0x1.03c1dcp+2f);
  c = fmaf(c, z, -0x1.3bd3ccp+2f);
  c = fmaf(c, z, 1.0f);
  const float sine = (quarters & 1) != 0 ? c : s;
  const float cosine = (quarters & 1) != 0 ? s : c;
  // Quarter turns 2 and 3 change the sine's sign, 1 and 2 the cosine's.
  return make_float2((quarters & 2) != 0 ? -sine : sine, ((quarters + 1) & 2) != 0 ? -cosine : cosine);
}

/// Elements 4 * group to 4 * group + 3 of draw number `draw` under `seed`.
__device__ __forceinline__ void gaussian_group(float (&out)[4], std::uint64_t seed, std::uint32_t draw,
                                               std::uint32_t group) {
  const PhiloxKey key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  const PhiloxCounter random = philox4x32({group, 0, draw, 0}, key);
#pragma unroll
  for (int pair = 0; pair < 4; pair += 2) {
    const float radius = __fsqrt_rn(-2.0f * log_polynomial(unit_interval(random[pair])));
    const float2 turn = sincospi_polynomial(2.0f * unit_interval(random[pair + 1]));
    out[pair] = radius * turn.y;
    out[pair + 1] = radius * turn.x;
  }
}

}  // namespace turboclip::cuda
