// Halves on the host: weights on their way to the device.
#pragma once

#include <bit>

#include "cuda/numbers.h"

namespace turboclip::cuda {

/// The nearest half, ties to even; infinite from 65,520 on.
inline F16 to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  std::uint32_t size = bits & 0x7fffffffu;
  std::uint32_t half = 0;
  if (size > 0x7f800000u) {
    half = 0x7e00u;
  } else if (size >= 0x477ff000u) {
    half = 0x7c00u;
  } else if (size < 0x38800000u) {
    // Below 2^-14 a half counts in steps of 2^-24, which are float32's between 1/2 and 1.
    half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + 0.5f) - 0x3f000000u;
  } else {
    size += 0xfffu + (size >> 13 & 1u);
    half = (size - 0x38000000u) >> 13;
  }
  return {static_cast<std::uint16_t>(sign | half)};
}

inline float to_float(F16 value) {
  const std::uint32_t sign = (value.bits & 0x8000u) << 16;
  const std::uint32_t size = value.bits & 0x7fffu;
  const std::uint32_t bits = size >= 0x7c00u
                                 ? size << 13 | 0x7f800000u
                                 : std::bit_cast<std::uint32_t>(std::bit_cast<float>(size << 13) * 0x1p112f);
  return std::bit_cast<float>(sign | bits);
}

}  // namespace turboclip::cuda
