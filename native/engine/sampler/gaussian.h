// A few Gaussian values from Philox's bits (docs/noise.md), for the host and, as constexpr, for the device.
//
// Only operations that IEEE 754 rounds correctly appear here (+, *, sqrt, fma, conversions), each written
// out; what includes this is compiled without contraction. That is what makes the bits the same everywhere; a
// math library's log or sin would not.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include "engine/sampler/philox.h"

namespace turboclip {

/// (bits + 0.5) * 2^-32, in (0, 1].
constexpr float unit_interval(std::uint32_t bits) {
  return std::fma(static_cast<float>(bits), 0x1p-32f, 0x1p-33f);
}

/// Natural logarithm of x in [2^-33, 1]: x = 2^e * (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), then
/// log(1 + f) = f - f^2 / 2 + f^3 P(f). P is a minimax fit; the whole is within 1e-7 of the logarithm,
/// relatively.
constexpr float log_polynomial(float x) {
  constexpr std::uint32_t kSqrtHalf = 0x3f3504f3u;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x) - kSqrtHalf;
  const auto exponent = static_cast<float>(static_cast<std::int32_t>(bits) >> 23);
  const float f = std::bit_cast<float>((bits & 0x007fffffu) + kSqrtHalf) - 1.0f;
  const float square = f * f;
  float p = 0.06917984f;
  p = std::fma(p, f, -0.11779667f);
  p = std::fma(p, f, 0.11866035f);
  p = std::fma(p, f, -0.12385798f);
  p = std::fma(p, f, 0.14219919f);
  p = std::fma(p, f, -0.16669197f);
  p = std::fma(p, f, 0.20002152f);
  p = std::fma(p, f, -0.24999987f);
  p = std::fma(p, f, 0.3333331f);
  // ln 2 in two parts: the first has few enough bits that exponent * part is exact.
  float y = (f * square) * p;
  y = std::fma(exponent, -2.12194440e-4f, y);
  y = std::fma(-0.5f, square, y);
  y = f + y;
  return std::fma(exponent, 0.693359375f, y);
}

struct SinCos {
  float sin;
  float cos;
};

/// sin and cos of pi * a for a in [0, 2]: a is brought to [-1/4, 1/4] by quarter turns, where both are short
/// minimax polynomials in a^2.
constexpr SinCos sincospi_polynomial(float a) {
  const auto quarters = static_cast<std::int32_t>(std::fma(a, 2.0f, 0.5f));
  const float r = std::fma(static_cast<float>(quarters), -0.5f, a);
  const float z = r * r;
  float s = 0x1.4bc256p-4f;
  s = std::fma(s, z, -0x1.32ca86p-1f);
  s = std::fma(s, z, 0x1.466bbap+1f);
  s = std::fma(s, z, -0x1.4abbcep+2f);
  s = std::fma(s, z, 0x1.921fb6p+1f);
  s = s * r;
  float c = 0x1.d9c364p-3f;
  c = std::fma(c, z, -0x1.55c57cp+0f);
  c = std::fma(c, z, 0x1.03c1dcp+2f);
  c = std::fma(c, z, -0x1.3bd3ccp+2f);
  c = std::fma(c, z, 1.0f);
  const float sine = (quarters & 1) != 0 ? c : s;
  const float cosine = (quarters & 1) != 0 ? s : c;
  // Quarter turns 2 and 3 change the sine's sign, 1 and 2 the cosine's.
  return {(quarters & 2) != 0 ? -sine : sine, ((quarters + 1) & 2) != 0 ? -cosine : cosine};
}

/// Elements 4 * group .. 4 * group + 3 of draw number `draw` under `seed`.
constexpr std::array<float, 4> gaussian_group(std::uint64_t seed, std::uint32_t draw, std::uint32_t group) {
  const PhiloxKey key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  const PhiloxCounter random = philox4x32({group, 0, draw, 0}, key);
  std::array<float, 4> out{};
  for (std::size_t pair = 0; pair < 4; pair += 2) {
    const float radius = std::sqrt(-2.0f * log_polynomial(unit_interval(random[pair])));
    const SinCos turn = sincospi_polynomial(2.0f * unit_interval(random[pair + 1]));
    out[pair] = radius * turn.cos;
    out[pair + 1] = radius * turn.sin;
  }
  return out;
}

}  // namespace turboclip
