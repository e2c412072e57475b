// A warp's part of the portable W8A8 products, whichever way their operands come to shared memory.
//
// A warp computes 48 rows by 64 columns. It holds its rows of a block of K in registers and takes its columns
// a group at a time; the int32 sums of a group are promoted to float32, with the block's scales, between the
// products of the next, and what is multiplied next is loaded between them too, over the end of the block. So
// the tensor cores always have products at hand.
//
// The order of instructions is the source's: ptxas, left to schedule, puts the products of a group in a row
// and the promotions after them, so what includes this is assembled with -O1 (CMakeLists.txt;
// docs/decisions/0110-ptxas-keeps-the-order.md).
#pragma once

#include "cuda/gemm_tile.cuh"

namespace turboclip::cuda {

/// A warp's sums and operands. Rows of a stage are 128 bytes, their 16-byte chunks swizzled by the row.
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

  unsigned x_at, w_at;  // where the lane's first pieces lie among a stage's rows of x and of W

  __device__ __forceinline__ explicit GemmWarp(unsigned thread) {
    const unsigned lane = thread % kWarp;
    x_at = (warp_row(thread) + lane % 16) * kGemmDepth + ((lane / 16 ^ lane % 8) << 4);
    w_at = (warp_column(thread) + lane % 8) * kGemmDepth + ((lane / 8 ^ lane % 8) << 4);
  }

  __device__ __forceinline__ void load_x(const unsigned char* rows, int step) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      load_tiles(x[step][i], rows + (x_at ^ step << 5) + 16 * i * kGemmDepth);
    }
  }
  /// Two steps of a group's columns.
  __device__ __forceinline__ void load_w(const unsigned char* rows, int group, int half) {
#pragma unroll
    for (int j = 0; j < kGroupTiles; ++j) {
      load_tiles(w[j][half], rows + (w_at ^ half << 6) + (group * kGroupColumns + 8 * j) * kGemmDepth);
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

}  // namespace turboclip::cuda
