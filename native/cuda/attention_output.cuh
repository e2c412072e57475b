// The end of sparse attention: the linear branch, added to a warp's rows of the softmax branch, and their
// quantisation.
#pragma once

#include "cuda/attention_tile.cuh"
#include "cuda/self_attention.h"

namespace turboclip::cuda {

/// Adds f(q) M / (1e-5 + f(q) . s) + bias to normalised rows. matrix: [128 outputs][128 features] in shared
/// memory; features: f(q) of the row, in the projections. Groups of 16 rows begin `Apart` rows apart.
template <int Apart, int Groups, int Origin>
__device__ __forceinline__ void add_linear_branch(OutputRows<Origin> (&rows)[Groups],
                                                  const unsigned char* matrix, const Sparse& sparse,
                                                  const Bf16* features, std::int64_t stride,
                                                  const float* sums, int row, int tokens, int lane) {
  const std::uint32_t* words[Groups][2];
#pragma unroll
  for (int i = 0; i < Groups; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + Apart * i + 8 * half + lane / 4;
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

/// What `finish` uses of shared memory, which all of the block's threads have left.
inline constexpr int kOutputSharedBytes = kHeadWidth * kHeadRowBytes;
static_assert(kQueryBlock * kHeadWidth <= kOutputSharedBytes);

/// Adds the linear branch to a block's 128 normalised rows, quantises and stores. Each of the block's warps
/// holds one group of 16 rows or two: its first from `row` on, the other `Apart` rows on.
template <int Apart, int Threads, int Groups, int Origin>
__device__ __forceinline__ void finish(OutputRows<Origin> (&rows)[Groups], unsigned char* shared,
                                       const HeadShape& shape, const Projections& projections,
                                       const Sparse& sparse, int head, int row, unsigned by, std::int8_t* y,
                                       float* y_scales) {
  const auto tokens = static_cast<int>(shape.tokens);
  const std::int64_t channels = shape.channels();
  __syncthreads();
  if (sparse.matrix != nullptr) {
    const int thread = static_cast<int>(by);
    const Bf16* matrix = sparse.matrix + static_cast<std::int64_t>(head) * kHeadWidth * kHeadWidth;
    copy_head_rows<kHeadWidth, Threads>(shared, matrix, 0, kHeadWidth, kHeadWidth, thread);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    add_linear_branch<Apart>(rows, shared, sparse, projections.values + head * kHeadWidth, 3 * channels,
                             sparse.sums + head * kHeadWidth, row, tokens, thread % kWarp);
    __syncthreads();
  }
  forget(by);  // or what is computed from it would wait in registers
  const int thread = static_cast<int>(by);
  const int lane = thread % kWarp;
  float* scales = y_scales + head * scale_stride(shape.tokens);
  unsigned char* slab = shared + thread / kWarp * Groups * 16 * kHeadWidth;
#pragma unroll
  for (int i = 0; i < Groups; ++i) {
    rows[i].quantize(slab + i * 16 * kHeadWidth, lane, [&](int r, float scale) {
      if (row + Apart * i + r < tokens) scales[row + Apart * i + r] = scale;
    });
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < Groups; ++i) {
    const int first = row + Apart * i;
    if (first < tokens) {
      store_slab(slab + i * 16 * kHeadWidth, y + first * channels + head * kHeadWidth, channels,
                 tokens - first, lane);
    }
  }
}

}  // namespace turboclip::cuda
