// The W8A8 product's main loop where operands come by cp.async, which every card has.
//
// Eight warps (gemm_warp.cuh) share a tile; a barrier ends a block of K, and finds every warp busy.
#pragma once

#include "cuda/gemm_store.cuh"
#include "cuda/gemm_warp.cuh"

namespace turboclip::cuda {

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
  const unsigned scale_at = 4 * (warp_row(thread) + thread % kWarp / 4 * (kWarpRows / 8));
  const auto load_scales = [&](const unsigned char* stage) {
    const auto* scales = stage + kStageScales;
    const float w_scale = *reinterpret_cast<const float*>(scales + 4 * kWeightScale);
#pragma unroll
    for (int i = 0; i < GemmWarp::kRowTiles; ++i) {
      const float2 two = *reinterpret_cast<const float2*>(scales + scale_at + 8 * i);
      warp.scale[i][0] = two.x * w_scale;
      warp.scale[i][1] = two.y * w_scale;
    }
  };
  unsigned char* here = shared;
#pragma unroll
  for (int step = 0; step < GemmWarp::kSteps; ++step) warp.load_x(here, step);
  warp.load_w(here + kStageWeights, 0, 0);
  warp.load_w(here + kStageWeights, 0, 1);
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
        if (step % 2 == 1) warp.load_w((last ? next : here) + kStageWeights, last ? 0 : group + 1, step / 2);
        if (last) copy_share(here, step, k + kGemmStages < blocks_of_k);
        if (group == 0) copy_share(to, GemmWarp::kSteps + step, k + kGemmStages - 1 < blocks_of_k);
        warp.promote((group + kGroups - 1) % kGroups, step);
      }
      if (group == 0) load_scales(here);  // until here those of the block before were needed
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
