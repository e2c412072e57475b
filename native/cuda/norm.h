// Passes over the rows of the residual stream: layer norm, modulation and quantisation in one.
#pragma once

#include <cstdint>

#include "cuda/numbers.h"
#include "cuda/queue.h"

namespace turboclip::cuda {

/// x [rows, width], width a multiple of 128 and at most kMaxWidth.
struct Bf16Rows {
  const Bf16* values;
  std::int64_t rows;
  std::int64_t width;
};

/// TurboWan's widest model has 5120 channels; a row stays in the registers of four warps.
inline constexpr std::int64_t kMaxWidth = 5120;

/// LayerNorm(x, eps 1e-6) * (1 + gain) + shift, with gain and shift [width].
struct Modulation {
  const float* gain;
  const float* shift;
};

/// The norm, quantised for a linear layer: y [rows, width], scales [width / 128][scale_stride(rows)].
void layer_norm_int8(Queue& queue, const Bf16Rows& x, const Modulation& modulation, std::int8_t* y,
                     float* scales);

/// The norm in bfloat16.
void layer_norm_bf16(Queue& queue, const Bf16Rows& x, const Modulation& modulation, Bf16* y);

/// x itself, quantised for a linear layer.
void quantize_rows(Queue& queue, const Bf16Rows& x, std::int8_t* y, float* scales);

/// 1 / sqrt(mean of squares + 1e-6) of whole rows from the sums that linear_bf16 left for every 128 columns:
/// squares [groups][scale_stride(rows)] -> inverse [rows].
void inverse_rms(Queue& queue, const float* squares, std::int64_t groups, std::int64_t rows, float* inverse);

}  // namespace turboclip::cuda
