// Int8Kernel::quantize in plain loops that compilers vectorise, included by one source file an instruction
// set.
#pragma once

#include <bit>
#include <cstdint>

namespace turboclip::cpu {
namespace {

std::int32_t quantize(const float* x, std::int64_t count, std::int8_t* q, float& scale) {
  // Magnitudes compare like their bits, and no-numbers come out on top.
  std::int32_t top = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t bits = std::bit_cast<std::int32_t>(x[i]) & 0x7fffffff;
    top = bits > top ? bits : top;
  }
  if (top < std::bit_cast<std::int32_t>(1e-30f)) {
    for (std::int64_t i = 0; i < count; ++i) q[i] = 0;
    scale = 1;
    return 0;
  }
  const float maximum = std::bit_cast<float>(top);
  const float factor = 127.0f / maximum;
  std::int32_t sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
    const float shifted = x[i] * factor + 12582912.0f;
    const auto level = static_cast<std::int8_t>(std::bit_cast<std::int32_t>(shifted) - 0x4B400000);
    q[i] = level;
    sum += level;
  }
  scale = maximum / 127.0f;
  return sum;
}

}  // namespace
}  // namespace turboclip::cpu
