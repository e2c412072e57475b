// Linear layers in bfloat16 with float32 sums: embeddings and head, whose share of the work is small.
#pragma once

#include <cstdint>

#include "cuda/norm.h"

namespace turboclip::cuda {

/// values [out, in], in a multiple of 8 and out of 64; bias [out].
struct Bf16Weight {
  const Bf16* values;
  const float* bias;
  std::int64_t out;
  std::int64_t in;
};

/// y [rows, out] = x W^T + b.
void linear(Queue& queue, const Bf16Rows& x, const Bf16Weight& weight, Bf16* y);
/// y = GELU(x W^T + b).
void linear_gelu(Queue& queue, const Bf16Rows& x, const Bf16Weight& weight, Bf16* y);
/// The same as linear(), in float32.
void linear_float(Queue& queue, const Bf16Rows& x, const Bf16Weight& weight, float* y);

}  // namespace turboclip::cuda
