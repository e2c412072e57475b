// The inner loops of the W8A8 matrix product, compiled once for each instruction set like those of kernels.h.
// All of them sum the same integers exactly and then do the same roundings in the same order, so that a
// product has the same bytes on every processor.
#pragma once

#include <cstdint>

namespace turboclip::cpu {

/// Values that share a scale along the reduction; an int32 holds the sum of their products.
inline constexpr std::int64_t kInt8Slice = 128;
/// Values of one column that lie together in a panel: what one dot-product instruction adds up.
inline constexpr std::int64_t kInt8Group = 4;

/// Rows of one slice: row r has its 128 values at values + r * stride, its scale at scales[r * scale_stride]
/// and the sum of its values at sums[r * scale_stride].
struct Int8TileRows {
  const std::int8_t* values = nullptr;
  std::int64_t stride = 0;
  const float* scales = nullptr;
  const std::int32_t* sums = nullptr;
  std::int64_t scale_stride = 0;
};

struct Int8Kernel {
  const char* name;
  /// Rows that one tile call computes at most.
  std::int64_t tile_rows;
  /// out[r][c] += float(sum over k of left[r][k] * panel[k][c]) * (left scale of r * weight_scale), for r <
  /// rows <= tile_rows and c < kPanel. panel is [kInt8Slice / kInt8Group][kPanel][kInt8Group]; both sides may
  /// hold any int8, -128 included; out has row stride out_stride.
  void (*tile)(const Int8TileRows& left, const std::int8_t* panel, float weight_scale, float* out,
               std::int64_t out_stride, std::int64_t rows);
  /// Quantises up to kInt8Slice values: scale = amax / 127, q = round(x * (127 / amax)), halves to even;
  /// values that are all below 1e-30 become zeros of scale 1. A value that is no number, or infinite, makes
  /// the scale so too. Returns the sum of q.
  std::int32_t (*quantize)(const float* x, std::int64_t count, std::int8_t* q, float& scale);
};

const Int8Kernel& portable_int8_kernel();
/// nullptr where the processor (or the compiler's target) lacks the instructions.
const Int8Kernel* avx2_int8_kernel();
const Int8Kernel* vnni_int8_kernel();

}  // namespace turboclip::cpu
