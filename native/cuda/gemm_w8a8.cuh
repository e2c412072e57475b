// The W8A8 product's portable main loop.
//
// Eight warps compute a tile of 48 rows a warp by 64 columns. A warp holds its rows of a block of K in
// registers and takes its columns 16 at a time; the int32 sums of a group are promoted to float32, with the
// block's scales, between the products of the next, and what is multiplied next is loaded between them too,
// over the barrier into the next block. So the tensor cores always have products at hand, and the barrier
// finds every warp busy.
//
// The order of instructions is the source's: ptxas, left to schedule, puts the products of a group in a row
// and the promotions after them, so this file is assembled with -O1 (CMakeLists.txt;
// docs/decisions/0110-ptxas-keeps-the-order.md).
#pragma once

#include "cuda/gemm_store.cuh"

namespace turboclip::cuda {

struct GemmWarp {
  static constexpr int kRowTiles = kWarpRows / 16;
  static constexpr int kGroupTiles = kGroupColumns / 8;
  static constexpr int kGroups = kWarpColumns / kGroupColumns;
  static constexpr int kSteps = kGemmDepth / 32;

  float sums[kRowTiles][kWarpColumns / 8][4] = {};          // [rows / 16][columns / 8][fragment]
  std::int32_t partial[2][kGroupTiles][kRowTiles][4] = {};  // of a group and of the one before it
  float scale[kRowTiles][2] = {};                           // of the partial sums to be promoted, by row
  std::uint32_t x[kSteps][kRowTiles][4];
  std::uint32_t w[kGroupTiles][2][4];  // two steps each

  unsigned x_at, w_at, scale_at;  // where the lane's first pieces lie in a stage

  __device__ __forceinline__ explicit GemmWarp(unsigned thread) {
    const unsigned lane = thread % kWarp;
    x_at = (warp_row(thread) + lane % 16) * kGemmDepth + ((lane / 16 ^ lane % 8) << 4);
    w_at = (kGemmRows + warp_column(thread) + lane % 8) * kGemmDepth + ((lane / 8 ^ lane % 8) << 4);
    scale_at = kStageScales + 4 * (warp_row(thread) + lane / 4 * (kWarpRows / 8));
  }

  __device__ __forceinline__ void load_x(const unsigned char* stage, int step) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      load_tiles(x[step][i], stage + (x_at ^ step << 5) + 16 * i * kGemmDepth);
    }
  }
  /// Two steps of a group's columns.
  __device__ __forceinline__ void load_w(const unsigned char* stage, int group, int half) {
#pragma unroll
    for (int j = 0; j < kGroupTiles; ++j) {
      load_tiles(w[j][half], stage + (w_at ^ half << 6) + (group * kGroupColumns + 8 * j) * kGemmDepth);
    }
  }
  __device__ __forceinline__ void load_scales(const unsigned char* stage) {
    const float w_scale = *reinterpret_cast<const float*>(stage + kStageScales + 4 * kWeightScale);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      const float2 two = *reinterpret_cast<const float2*>(stage + scale_at + 8 * i);
      scale[i][0] = two.x * w_scale;
      scale[i][1] = two.y * w_scale;
    }
  }
  __device__ __forceinline__ void multiply(int group, int step) {
#pragma unroll
    for (int j = 0; j < kGroupTiles; ++j) {
      const std::uint32_t right[2] = {w[j][step / 2][step % 2 * 2], w[j][step / 2][step % 2 * 2 + 1]};
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        constexpr std::int32_t kZeros[4] = {};
        std::int32_t(&sum)[4] = partial[group % 2][j][i];
        if (step == 0) {
          multiply_s8(sum, x[step][i], right, kZeros);
        } else {
          multiply_s8(sum, x[step][i], right, sum);
        }
      }
    }
  }
  /// A quarter of a group's sums.
  __device__ __forceinline__ void promote(int group, int quarter) {
    constexpr int kTiles = kGroupTiles * kRowTiles;
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      if (t * 4 / kTiles != quarter) continue;
      const int j = t / kRowTiles;
      const int i = t % kRowTiles;
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        float& sum = sums[i][group * kGroupTiles + j][e];
        sum = fmaf(static_cast<float>(partial[group % 2][j][i][e]), scale[i][e / 2], sum);
      }
    }
  }
};

template <class Epilogue>
__global__ void __launch_bounds__(kGemmThreads, 1)
    gemm_w8a8_kernel(Int8Rows x, Int8Weight weight, Epilogue epilogue) {
  constexpr int kGroups = GemmWarp::kGroups;
  constexpr int kShare = 2;  // of a stage's copies, between two steps
  constexpr int kShares = GemmCopies::kCount / kShare;
  static_assert(kShares * kShare == GemmCopies::kCount && kShares < 2 * GemmWarp::kSteps);
  const unsigned thread = threadIdx.x;
  const TilePlace place = TilePlace::of_block();
  if (place.row >= x.rows) return;
  unsigned char* shared = shared_memory();
  unsigned char* bias = shared + kGemmStages * kStageBytes;
  const int blocks_of_k = static_cast<int>(weight.in / kGemmDepth);
  GemmCopies copies(x, weight, place, weight.scales + place.column / kScaleGroup * blocks_of_k, thread);
  if (thread < kBiasBytes / 16) copy_async(bias + 16 * thread, weight.bias + place.column + 4 * thread, 16);
#pragma unroll
  for (int k = 0; k < kGemmStages - 1; ++k) {
    unsigned char* stage = shared + k * kStageBytes;
    copies.start(stage, 0, GemmCopies::kCount, k < blocks_of_k);
    copies.start_scale(stage, k < blocks_of_k);
    copies.advance();
    copy_commit();
  }
  // A stage is filled in shares, from the last group of columns on into the next block of K.
  const auto copy_share = [&](unsigned char* stage, int share, bool inside) {
    if (share < kShares) copies.start(stage, share * kShare, (share + 1) * kShare, inside);
    if (share != kShares) return;
    copies.start_scale(stage, inside);
    copies.advance();
    copy_commit();
  };
  unsigned char* to = shared + (kGemmStages - 1) * kStageBytes;
#pragma unroll
  for (int step = 0; step < GemmWarp::kSteps; ++step) copy_share(to, step, kGemmStages - 1 < blocks_of_k);
  copy_wait<kGemmStages - 2>();
  __syncthreads();

  GemmWarp warp(thread);
  unsigned char* here = shared;
#pragma unroll
  for (int step = 0; step < GemmWarp::kSteps; ++step) warp.load_x(here, step);
  warp.load_w(here, 0, 0);
  warp.load_w(here, 0, 1);
#pragma unroll 1
  for (int k = 0; k < blocks_of_k; ++k) {
    unsigned char* next = here + kStageBytes;
    if (next == shared + kGemmStages * kStageBytes) next = shared;
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const bool last = group == kGroups - 1;
      if (last) {
        copy_wait<kGemmStages - 2>();
        // The next block's copies are here, and all warps have read what they need of this one: its stage is
        // filled anew. Past the last block the loads below read what was there before; nothing is made of it.
        __syncthreads();
      }
#pragma unroll
      for (int step = 0; step < GemmWarp::kSteps; ++step) {
        warp.multiply(group, step);
        if (last) warp.load_x(next, step);
        if (step % 2 == 1) warp.load_w(last ? next : here, last ? 0 : group + 1, step / 2);
        if (last) copy_share(here, step, k + kGemmStages < blocks_of_k);
        if (group == 0) copy_share(to, GemmWarp::kSteps + step, k + kGemmStages - 1 < blocks_of_k);
        warp.promote((group + kGroups - 1) % kGroups, step);
      }
      if (group == 0) warp.load_scales(here);  // until here those of the block before were needed
    }
    to = here;
    here = next;
  }
#pragma unroll
  for (int quarter = 0; quarter < 4; ++quarter) warp.promote(kGroups - 1, quarter);
  // The last stages' zeros, too, or they would land on what the epilogue puts there.
  copy_commit();
  copy_wait<0>();
  __syncthreads();
  finish_tile(warp.sums, place, static_cast<int>(x.rows), weight.out, reinterpret_cast<const float*>(bias),
              epilogue, shared, thread);
}

}  // namespace turboclip::cuda
