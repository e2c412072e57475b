// The W8A8 product's portable main loop.
//
// Eight warps compute a tile of 48 rows a warp by 64 columns. A block of K has int32 sums, which are
// promoted to float32 with its scales. A warp holds its rows of the block in registers and takes its
// columns 16 at a time, so that sums are promoted and copies started between one group's products and the
// next, never all at once.
#pragma once

#include "cuda/gemm_tile.cuh"

namespace turboclip::cuda {

struct GemmWarp {
  static constexpr int kRowTiles = kWarpRows / 16;
  static constexpr int kGroupTiles = kGroupColumns / 8;
  static constexpr int kGroups = kWarpColumns / kGroupColumns;
  static constexpr int kSteps = kGemmDepth / 32;

  float sums[kRowTiles][kGroups * kGroupTiles][4] = {};  // [rows / 16][columns / 8][fragment]

  /// The warp's first row and column in the block's tile.
  static __device__ __forceinline__ unsigned row(unsigned thread) {
    return thread / kWarp / kWarpsAcross * kWarpRows;
  }
  static __device__ __forceinline__ unsigned column(unsigned thread) {
    return thread / kWarp % kWarpsAcross * kWarpColumns;
  }

  /// Adds one block of K. `between(group)` runs before the products of each group of columns.
  template <class Between>
  __device__ __forceinline__ void multiply(const unsigned char* stage, float w_scale, unsigned thread,
                                           const Between& between) {
    const unsigned lane = thread % kWarp;
    const unsigned char* w = stage + kGemmRows * kGemmDepth;
    const float* scales = reinterpret_cast<const float*>(w + kGemmColumns * kGemmDepth) + row(thread) +
                          lane / 4 * (kWarpRows / 8);
    // Tiles of 8 rows by 16 bytes in the order of a fragment: rows, then K, of x; K, then columns, of W.
    const unsigned char* x_line = stage + (row(thread) + lane % 16) * kGemmDepth;
    const unsigned x_swizzle = (lane / 16 ^ lane % 8) << 4;
    const unsigned char* w_line = w + (column(thread) + lane / 16 * 8 + lane % 8) * kGemmDepth;
    const unsigned w_swizzle = (lane / 8 % 2 ^ lane % 8) << 4;
    std::uint32_t a[kSteps][kRowTiles][4];
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        load_tiles(a[step][i], x_line + 16 * i * kGemmDepth + (x_swizzle ^ 2 * step << 4));
      }
    }
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      between(group);
      std::uint32_t b[kSteps][4];  // of 8 columns, and of the next 8
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        load_tiles(b[step], w_line + group * kGroupColumns * kGemmDepth + (w_swizzle ^ 2 * step << 4));
      }
      std::int32_t partial[kRowTiles][kGroupTiles][4];
      fill(partial, kIntegerOrigin);
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
#pragma unroll
        for (int j = 0; j < kGroupTiles; ++j) {
          const std::uint32_t right[2] = {b[step][2 * j], b[step][2 * j + 1]};
#pragma unroll
          for (int i = 0; i < kRowTiles; ++i) {
            multiply_s8(partial[i][j], a[step][i], right, partial[i][j]);
          }
        }
      }
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        const float2 two = *reinterpret_cast<const float2*>(scales + 2 * i);
        const float scale[2] = {two.x * w_scale, two.y * w_scale};
#pragma unroll
        for (int j = 0; j < kGroupTiles; ++j) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            float& sum = sums[i][group * kGroupTiles + j][e];
            sum = fmaf(from_origin(partial[i][j][e]), scale[e / 2], sum);
          }
        }
      }
    }
  }
};

template <class Epilogue>
__device__ __forceinline__ void finish_tile(GemmWarp& warp, const TilePlace& place, int rows,
                                            const float* bias, const Epilogue& epilogue,
                                            unsigned char* shared, unsigned thread) {
  constexpr RowStatistic kStatistic = Epilogue::kStatistic;
  auto* parts = reinterpret_cast<float*>(shared + kSlabBytes * (kGemmThreads / kWarp));
  const int lane = static_cast<int>(thread % kWarp);
  const int warp_row = static_cast<int>(warp.row(thread));
  const int warp_column = static_cast<int>(warp.column(thread));
  const int quad = lane / 4;
  const int first_column = place.column + warp_column;
#pragma unroll
  for (int i = 0; i < GemmWarp::kRowTiles; ++i) {
    add_bias(warp.sums[i], epilogue, bias + first_column, lane);
    if constexpr (kStatistic != RowStatistic::none) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float part = row_statistic<kStatistic>(warp.sums[i], half);
        const int r = warp_row + 16 * i + 8 * half + quad;
        if (lane % 4 == 0) parts[warp_column / kWarpColumns * kGemmRows + r] = part;
      }
    }
  }
  if constexpr (kStatistic != RowStatistic::none) {
    __syncthreads();
    for (int r = static_cast<int>(thread); r < kGemmRows; r += kGemmThreads) {
      float whole = parts[r];
#pragma unroll
      for (int i = 1; i < kWarpsAcross; ++i) whole = join<kStatistic>(whole, parts[i * kGemmRows + r]);
      parts[r] = whole;
      if (place.row + r < rows) epilogue.row_done(place.row + r, place.column, whole);
    }
    __syncthreads();
  }
  auto* slab = reinterpret_cast<float*>(shared + kSlabBytes * (thread / kWarp));
#pragma unroll
  for (int i = 0; i < GemmWarp::kRowTiles; ++i) {
    float statistic[2] = {0, 0};
    if constexpr (kStatistic == RowStatistic::largest) {
      statistic[0] = parts[warp_row + 16 * i + quad];
      statistic[1] = parts[warp_row + 16 * i + 8 + quad];
    }
#pragma unroll
    for (int c = 0; c < kWarpColumns; c += kSlabColumns) {
      store_rows(slab, warp.sums[i] + c / 8, epilogue, statistic, place.row + warp_row + 16 * i, rows,
                 first_column + c, lane);
    }
  }
}

template <class Epilogue>
__global__ void __launch_bounds__(kGemmThreads, 1)
    gemm_w8a8_kernel(Int8Rows x, Int8Weight weight, Epilogue epilogue) {
  unsigned thread = threadIdx.x;
  const TilePlace place = TilePlace::of_block();
  if (place.row >= x.rows) return;
  unsigned char* shared = shared_memory();
  const int blocks_of_k = static_cast<int>(weight.in / kGemmDepth);
  const float* w_scales = weight.scales + place.column / kScaleGroup * blocks_of_k;
  const GemmCopies copies{x, weight, place};
#pragma unroll 1
  for (int k = 0; k < kGemmStages - 1; ++k) {
    const bool inside = k < blocks_of_k;
    copies.start(shared + k * kStageBytes, k, inside, 0, GemmCopies::kCount, thread);
    copies.start_scale(shared + k * kStageBytes, k, inside, thread);
    copy_commit();
  }
  GemmWarp warp;
  int stage = 0;
  int ahead = kGemmStages - 1;
#pragma unroll 1
  for (int k = 0; k < blocks_of_k; ++k) {
    copy_wait<kGemmStages - 2>();
    // The block's copies are here, and all warps have left the stage that is filled next.
    __syncthreads();
    forget(thread);
    const int next = k + kGemmStages - 1;
    const bool inside = next < blocks_of_k;
    unsigned char* to = shared + ahead * kStageBytes;
    warp.multiply(shared + stage * kStageBytes, w_scales[k], thread, [&](int group) {
      constexpr int kShare = (GemmCopies::kCount + kCopyGroups - 1) / kCopyGroups;
      if (group >= kCopyGroups) return;
      const int end = (group + 1) * kShare;
      copies.start(to, next, inside, group * kShare, end < GemmCopies::kCount ? end : GemmCopies::kCount,
                   thread);
      if (group == kCopyGroups - 1) copies.start_scale(to, next, inside, thread);
    });
    copy_commit();
    stage = stage + 1 == kGemmStages ? 0 : stage + 1;
    ahead = ahead + 1 == kGemmStages ? 0 : ahead + 1;
  }
  // The last stages' zeros, too, or they would land on what the epilogue puts there.
  copy_wait<0>();
  __syncthreads();
  forget(thread);
  finish_tile(warp, place, static_cast<int>(x.rows), weight.bias, epilogue, shared, thread);
}

}  // namespace turboclip::cuda
