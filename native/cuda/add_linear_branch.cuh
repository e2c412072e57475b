// The linear branch of sparse attention, added to a warp's rows of the softmax branch.
#pragma once

#include "cuda/attention_tile.cuh"
#include "cuda/self_attention.h"

namespace turboclip::cuda {

/// Adds f(q) M / (1e-5 + f(q) . s) + bias to normalised rows. matrix: [128 outputs][128 features] in shared
/// memory; features: f(q) of the row, in the projections.
template <int Groups, int Origin>
__device__ __forceinline__ void add_linear_branch(OutputRows<Origin> (&rows)[Groups],
                                                  const unsigned char* matrix, const Sparse& sparse,
                                                  const Bf16* features, std::int64_t stride,
                                                  const float* sums, int row, int tokens, int lane) {
  const std::uint32_t* words[Groups][2];
#pragma unroll
  for (int i = 0; i < Groups; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + 16 * i + 8 * half + lane / 4;
      words[i][half] =
          reinterpret_cast<const std::uint32_t*>(features + (r < tokens ? r : tokens - 1) * stride) +
          lane % 4;
      float product = 0;
#pragma unroll
      for (int part = 0; part < kHeadWidth / 8; ++part) {
        const std::uint32_t pair = words[i][half][4 * part];
        const float* s = sums + 8 * part + lane % 4 * 2;
        product = fmaf(low_half(pair), s[0], fmaf(high_half(pair), s[1], product));
      }
      // The rows are multiplied by the divisor before the product is added, and divided by it after.
      const float divisor = 1e-5f + lanes_sum<4>(product);
      rows[i].total[half] = reciprocal(divisor);
#pragma unroll
      for (int j = 0; j < kHeadWidth / 8; ++j) {
        rows[i].sums[j][2 * half] *= divisor;
        rows[i].sums[j][2 * half + 1] *= divisor;
      }
    }
  }
#pragma unroll 1
  for (int step = 0; step < kHeadWidth / 16; ++step) {
    std::uint32_t left[Groups][4];
#pragma unroll
    for (int i = 0; i < Groups; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) left[i][e] = words[i][e % 2][8 * step + e / 2 * 4];
    }
#pragma unroll
    for (int j = 0; j < kHeadWidth / 16; ++j) {
      std::uint32_t b[4];
      load_tiles(b, head_chunk(matrix, 16 * j + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
#pragma unroll
        for (int i = 0; i < Groups; ++i) multiply_add_bf16(rows[i].sums[2 * j + half], left[i], right);
      }
    }
  }
#pragma unroll
  for (int j = 0; j < kHeadWidth / 8; ++j) {
    const float* bias = sparse.bias + 8 * j + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < Groups; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        rows[i].sums[j][e] = fmaf(rows[i].sums[j][e], rows[i].total[e / 2], bias[e % 2]);
      }
    }
  }
}

}  // namespace turboclip::cuda
