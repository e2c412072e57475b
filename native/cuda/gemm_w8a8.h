// Linear layers on INT8: y = x W^T + b with what follows them fused in. x has a scale per row and 128
// channels, W one per 128 x 128 values, as the -quant checkpoints have them.
#pragma once

#include <cstdint>

#include "cuda/gemm_tiles.h"
#include "cuda/numbers.h"
#include "cuda/queue.h"

namespace turboclip::cuda {

/// Quantised rows: values [rows, width], width a multiple of 128; scales [width / 128][scale_stride(rows)].
struct Int8Rows {
  const std::int8_t* values;
  const float* scales;
  std::int64_t rows;
  std::int64_t width;
};

/// values [out, in], both multiples of 128; scales [out / 128, in / 128]; bias [out].
struct Int8Weight {
  const std::int8_t* values;
  const float* scales;
  const float* bias;
  std::int64_t out;
  std::int64_t in;
};

/// y [rows, out] in bfloat16. `squares`, if any, gets the sum of squares of each row and group of 128
/// columns: [out / 128][scale_stride(rows)].
void linear_bf16(Queue& queue, const Int8Rows& x, const Int8Weight& weight, Bf16* y, float* squares,
                 ChosenTiles tiles = {});

/// GELU(y), quantised for the next layer.
void linear_gelu_int8(Queue& queue, const Int8Rows& x, const Int8Weight& weight, std::int8_t* y,
                      float* y_scales, ChosenTiles tiles = {});

/// sum [rows, out] += gate * y: a residual branch's last layer. gate: [out], or nullptr for 1.
void linear_add(Queue& queue, const Int8Rows& x, const Int8Weight& weight, Bf16* sum, const float* gate,
                ChosenTiles tiles = {});

}  // namespace turboclip::cuda
