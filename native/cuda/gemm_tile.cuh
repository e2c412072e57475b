// A block's tile of the portable W8A8 product: its shape, its place, and the copies of its operands.
//
// K goes in blocks of 128. Rows of a stage are 128 bytes, their 16-byte chunks swizzled by the row so that
// neither ldmatrix nor the copies meet a bank twice.
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
inline constexpr int kGroupColumns = 16;
inline constexpr int kWarpsAcross = kGemmThreads / kWarp / (kGemmRows / kWarpRows);
inline constexpr int kWarpColumns = kGemmColumns / kWarpsAcross;
inline constexpr int kGemmStages = 2;
/// The groups of columns before which a warp starts a share of the next stage's copies. With two stages they
/// must start early in the block before.
inline constexpr int kCopyGroups = 3;
/// Every thread copies a scale; those of no row go behind the tile's.
inline constexpr int kStageScales = static_cast<int>(ceil_div(kGemmThreads, kWarpRows)) * kWarpRows;
inline constexpr int kStageBytes =
    (kGemmRows + kGemmColumns) * kGemmDepth + kStageScales * static_cast<int>(sizeof(float));
inline constexpr int kGemmSharedBytes = kGemmStages * kStageBytes;
inline constexpr int kPartBytes = kWarpsAcross * kGemmRows * static_cast<int>(sizeof(float));
static_assert(kWarpColumns % kSlabColumns == 0 && kWarpColumns / kGroupColumns >= kCopyGroups);
static_assert(kSlabBytes * (kGemmThreads / kWarp) + kPartBytes <= kGemmSharedBytes);
static_assert(kGemmSharedBytes <= kSharedLimit);

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

/// Where a row's scale lies in a stage: those that a lane needs, every eighth of its warp's rows, side by
/// side.
__device__ __forceinline__ unsigned scale_place(unsigned row) {
  return row / kWarpRows * kWarpRows + row % 8 * (kWarpRows / 8) + row % kWarpRows / 8;
}

/// The copies of one thread: 16 bytes of each 32nd row of x and of W, and one row's scale. What depends on
/// the thread is computed anew in each block of K; registers are dearer.
struct GemmCopies {
  static constexpr int kStep = kGemmThreads / 8;  // rows, a multiple of 8: the swizzle is the same in all
  static constexpr int kOfX = kGemmRows / kStep;
  static constexpr int kCount = kOfX + kGemmColumns / kStep;

  const Int8Rows& x;
  const Int8Weight& w;
  const TilePlace& place;

  /// Starts copies first .. end - 1 of block k; of no more than zeros unless `inside`, which costs less than
  /// a branch. Rows past the last are copies of it: nothing of them is stored.
  __device__ __forceinline__ void start(unsigned char* stage, int k, bool inside, int first, int end,
                                        unsigned thread) const {
    const unsigned row = thread / 8;
    const int last = static_cast<int>(x.rows) - 1;
    const unsigned column = k * kGemmDepth + thread % 8 * 16;
    unsigned char* to = stage + row * kGemmDepth + ((thread % 8 ^ row % 8) << 4);
#pragma unroll
    for (int i = first; i < end; ++i) {
      const int of_x = place.row + static_cast<int>(row) + i * kStep;
      const int of_w = place.column + static_cast<int>(row) + (i - kOfX) * kStep;
      const std::int8_t* from =
          i < kOfX ? x.values + wide(of_x < last ? of_x : last, static_cast<unsigned>(x.width), column)
                   : w.values + wide(of_w, static_cast<unsigned>(w.in), column);
      copy_async(to + i * kStep * kGemmDepth, from, inside ? 16 : 0);
    }
  }
  __device__ __forceinline__ void start_scale(unsigned char* stage, int k, bool inside,
                                              unsigned thread) const {
    const int last = static_cast<int>(x.rows) - 1;
    int row = place.row + static_cast<int>(thread);
    if (row > last) row = last;
    copy_async_word(stage + (kGemmRows + kGemmColumns) * kGemmDepth + 4 * scale_place(thread),
                    x.scales + static_cast<unsigned>(k * static_cast<int>(scale_stride(x.rows)) + row),
                    inside ? 4 : 0);
  }

 private:
  static __device__ __forceinline__ std::uint64_t wide(int row, unsigned width, unsigned column) {
    return static_cast<std::uint64_t>(static_cast<unsigned>(row)) * width + column;
  }
};

}  // namespace turboclip::cuda
