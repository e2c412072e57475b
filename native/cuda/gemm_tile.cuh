// A block's tile of the portable W8A8 product: its shape, its place, and the copies of its operands.
//
// K goes in blocks of 128. Rows of a stage are 128 bytes, their 16-byte chunks swizzled by the row so that
// neither ldmatrix nor the copies meet a bank twice. Eight lanes fill one row: spread over several rows, each
// 16 bytes were fetched from L2 by themselves, at half the rate (bench/results/cuda-log.md).
#pragma once

#include "cuda/gemm_epilogue.cuh"
#include "cuda/gemm_w8a8.h"

namespace turboclip::cuda {

inline constexpr int kGemmThreads = 256;
inline constexpr int kGemmColumns = 128;  // one column of weight scales
inline constexpr int kGemmDepth = kScaleGroup;

/// Rows of tiles that are taken together, so that their x and a few columns of W stay in L2.
inline constexpr int kGemmGroupRows = 1920;

/// A warp's share of a tile: 48 x 64, its columns 16 at a time.
inline constexpr int kGemmRows = 192;
inline constexpr int kWarpRows = 48;
inline constexpr int kWarpColumns = 64;
inline constexpr int kGroupColumns = 16;
inline constexpr int kWarpsAcross = kGemmColumns / kWarpColumns;
inline constexpr int kGemmStages = 2;
inline constexpr int kStageWeights = kGemmRows * kGemmDepth;  // where W's rows begin, behind x's
inline constexpr int kStageScales = (kGemmRows + kGemmColumns) * kGemmDepth;  // where they begin
/// Every thread copies a scale. The first of those that have no row copies the weight's; it and what the
/// others copy again lies behind the rows'.
inline constexpr int kWeightScale = kGemmRows;
inline constexpr int kStageBytes = kStageScales + static_cast<int>(ceil_div(kGemmThreads, kWarpRows)) *
                                                      kWarpRows * static_cast<int>(sizeof(float));
inline constexpr int kBiasBytes = kGemmColumns * static_cast<int>(sizeof(float));
inline constexpr int kGemmSharedBytes = kGemmStages * kStageBytes + kBiasBytes;
static_assert(kGemmThreads / kWarp == kGemmRows / kWarpRows * kWarpsAcross && kGemmRows < kGemmThreads);
static_assert(blocks_by_shared_memory(kGemmSharedBytes) == 1);

/// A block's tile: blocks go down the rows of a group first, then to the next column, then to the next group.
struct TilePlace {
  int row, column;

  static __device__ __forceinline__ TilePlace of_block() {
    return {static_cast<int>(blockIdx.z * (kGemmGroupRows / kGemmRows) + blockIdx.x) * kGemmRows,
            static_cast<int>(blockIdx.y) * kGemmColumns};
  }
  static dim3 grid(std::int64_t rows, std::int64_t out) {
    return dim3(static_cast<unsigned>(kGemmGroupRows / kGemmRows), static_cast<unsigned>(out / kGemmColumns),
                static_cast<unsigned>(ceil_div(rows, kGemmGroupRows)));
  }
};

/// The warp's first row and column in the block's tile.
__device__ __forceinline__ unsigned warp_row(unsigned thread) {
  return thread / kWarp / kWarpsAcross * kWarpRows;
}
__device__ __forceinline__ unsigned warp_column(unsigned thread) {
  return thread / kWarp % kWarpsAcross * kWarpColumns;
}

/// Where a row's scale lies in a stage: those that a lane needs, every eighth of its warp's rows, side by
/// side.
__device__ __forceinline__ unsigned scale_place(unsigned row) {
  return row / kWarpRows * kWarpRows + row % 8 * (kWarpRows / 8) + row % kWarpRows / 8;
}

/// The copies of one thread: 16 bytes of each 32nd row of x and of W, and one scale, block of K after block.
struct GemmCopies {
  static constexpr int kStep = kGemmThreads / 8;  // rows, a multiple of 8: the swizzle is the same in all
  static constexpr int kOfX = kGemmRows / kStep;
  static constexpr int kCount = kOfX + kGemmColumns / kStep;

  const Int8Rows& rows;
  const std::int8_t* x;  // of row 0, the thread's 16 bytes
  const std::int8_t* w;  // of the thread's first row
  const float* scale;
  unsigned row, to, scale_to, scale_step;

  __device__ __forceinline__ GemmCopies(const Int8Rows& of_rows, const Int8Weight& weight,
                                        const TilePlace& place, const float* w_scales, unsigned thread)
      : rows(of_rows) {
    const unsigned first = thread / 8;
    const unsigned chunk = thread % 8;
    row = static_cast<unsigned>(place.row) + first;
    x = rows.values + chunk * 16;
    w = weight.values + chunk * 16 + static_cast<std::uint64_t>(place.column + first) * width();
    to = first * kGemmDepth + ((chunk ^ first % 8) << 4);
    const unsigned own = static_cast<unsigned>(place.row) + thread;
    const bool of_row = thread < kGemmRows;
    scale = of_row ? rows.scales + (own < last() ? own : last()) : w_scales;
    scale_step = of_row ? static_cast<unsigned>(scale_stride(rows.rows)) : 1;
    scale_to = kStageScales + 4 * scale_place(thread);
  }

  /// Starts copies first .. end - 1 of the block of K at hand; of no more than zeros unless `inside`, which
  /// costs less than a branch. Rows past the last are copies of it: nothing of them is stored.
  __device__ __forceinline__ void start(unsigned char* stage, int first, int end, bool inside) const {
    const int bytes = inside ? 16 : 0;
    unsigned char* at = stage + to;
#pragma unroll
    for (int i = first; i < end; ++i) {
      const unsigned of_x = row + i * kStep;
      const unsigned of_w = (i - kOfX) * kStep;
      const std::int8_t* from = i < kOfX
                                    ? x + static_cast<std::uint64_t>(of_x < last() ? of_x : last()) * width()
                                    : w + static_cast<std::uint64_t>(of_w) * width();
      copy_async(at + i * kStep * kGemmDepth, from, bytes);
    }
  }
  __device__ __forceinline__ void start_scale(unsigned char* stage, bool inside) const {
    copy_async_word(stage + scale_to, scale, inside ? 4 : 0);
  }
  /// On to the next block of K.
  __device__ __forceinline__ void advance() {
    x += kGemmDepth;
    w += kGemmDepth;
    scale += scale_step;
  }

 private:
  __device__ __forceinline__ unsigned width() const { return static_cast<unsigned>(rows.width); }
  __device__ __forceinline__ unsigned last() const { return static_cast<unsigned>(rows.rows) - 1; }
};

}  // namespace turboclip::cuda
