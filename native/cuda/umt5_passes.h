// The passes between the linear layers of umT5's blocks. Each begins by adding up the parts that the product
// before it left, and ends with rows as the product after it reads them.
#pragma once

#include <cstdint>

#include "cuda/numbers.h"
#include "cuda/partial_sums.h"
#include "cuda/queue.h"

namespace turboclip::cuda {

/// Rows for the next product: in bfloat16, or INT8 with scales [width / 128][scale_stride(rows)].
struct TextRows {
  Bf16* bf16 = nullptr;
  std::int8_t* int8 = nullptr;
  float* scales = nullptr;
};

/// The residual stream x [rows, width] += sums, and its RMS norm x / sqrt(mean(x^2) + 1e-6) * weight to
/// `out`. width is a multiple of 128 and at most kMostTextWidth.
void add_and_norm(Queue& queue, const PartialSums& sums, float* x, std::int64_t rows, std::int64_t width,
                  const float* weight, const TextRows& out);
/// The last norm, in float32: y [rows, width].
void add_and_norm(Queue& queue, const PartialSums& sums, float* x, std::int64_t rows, std::int64_t width,
                  const float* weight, float* y);

/// GELU(gate) * up, of sums whose columns are first the gate's, then up's: [rows, ffn].
void gate(Queue& queue, const PartialSums& sums, std::int64_t ffn, const TextRows& out);

/// A row of the residual stream lies in shared memory once.
inline constexpr std::int64_t kMostTextWidth = 8192;

}  // namespace turboclip::cuda
