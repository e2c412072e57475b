// Number formats and sizes of the kernels, for host and device.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace turboclip::cuda {

/// A bfloat16 as it lies in memory.
struct Bf16 {
  std::uint16_t bits;
};

/// An IEEE half as it lies in memory.
struct F16 {
  std::uint16_t bits;
};

/// An 8-bit float of 4 exponent bits and 3 of mantissa as it lies in memory: at most 448, no infinity
/// (https://arxiv.org/abs/2209.05433).
struct E4m3 {
  std::uint8_t bits;
};
inline constexpr float kMostE4m3 = 448;

/// Values that share one scale: this many channels of a row, and as many rows and channels of a weight.
inline constexpr int kScaleGroup = 128;
/// Head width of every TurboWan.
inline constexpr int kHeadWidth = 128;

__host__ __device__ constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}
/// Rows between the scales of one group of channels and the next, so that each begins 16-byte aligned.
__host__ __device__ constexpr std::int64_t scale_stride(std::int64_t rows) { return ceil_div(rows, 4) * 4; }

}  // namespace turboclip::cuda
