// The W8A8 product's portable main loop.
//
// Eight warps compute a tile of 64 rows a warp by 32 or 64 columns; K goes in blocks of 128, whose int32 sums
// are promoted to float32 with the block's scales. A warp holds its rows of a block in registers and takes
// its columns a few at a time, so that sums are promoted and copies started between one group's products and
// the next, never all at once. Rows of a stage are 128 bytes, their 16-byte chunks swizzled by the row so
// that neither ldmatrix nor the copies meet a bank twice.
#pragma once

#include "cuda/gemm_epilogue.cuh"
#include "cuda/gemm_w8a8.h"

namespace turboclip::cuda {

inline constexpr int kGemmThreads = 256;
inline constexpr int kGemmColumns = 128;  // one column of weight scales
inline constexpr int kGemmDepth = kScaleGroup;

/// Rows of tiles that are taken together, so that their x and a few columns of W stay in L2.
inline constexpr int kGemmGroupRows = 1920;

/// CopyGroups: the groups of columns before which a warp starts a share of the copies.
template <int Rows, int WarpRows, int Stages, int CopyGroups>
struct GemmTile {
  static constexpr int kRows = Rows;
  static constexpr int kStages = Stages;
  static constexpr int kGroupColumns = 16;
  static constexpr int kCopyGroups = CopyGroups;
  static constexpr int kWarpRows = WarpRows;
  static constexpr int kWarpsAcross = kGemmThreads / kWarp / (Rows / kWarpRows);
  static constexpr int kWarpColumns = kGemmColumns / kWarpsAcross;
  /// Every thread copies a scale; those of no row go behind the tile's.
  static constexpr int kScales = static_cast<int>(ceil_div(kGemmThreads, kWarpRows)) * kWarpRows;
  static constexpr int kStageBytes =
      (kRows + kGemmColumns) * kGemmDepth + kScales * static_cast<int>(sizeof(float));
  static constexpr int kSharedBytes = kStages * kStageBytes;
  static constexpr int kPartBytes = kWarpsAcross * kRows * static_cast<int>(sizeof(float));
  static_assert(kWarpColumns % kSlabColumns == 0 && kWarpColumns / kGroupColumns >= kCopyGroups);
  static_assert(kSlabBytes * (kGemmThreads / kWarp) + kPartBytes <= kSharedBytes);
};

/// A block's tile: blocks go down the rows of a group first, then to the next column, then to the next group.
struct TilePlace {
  int row, column;

  template <int Rows>
  static __device__ __forceinline__ TilePlace of_block() {
    return {static_cast<int>(blockIdx.z * (kGemmGroupRows / Rows) + blockIdx.x) * Rows,
            static_cast<int>(blockIdx.y) * kGemmColumns};
  }
  template <int Rows>
  static dim3 grid(std::int64_t rows, std::int64_t out) {
    return dim3(static_cast<unsigned>(kGemmGroupRows / Rows), static_cast<unsigned>(out / kGemmColumns),
                static_cast<unsigned>(ceil_div(rows, kGemmGroupRows)));
  }
};

/// Where a row's scale lies in a stage: those that a lane needs, every eighth of its warp's rows, side by
/// side.
template <int WarpRows>
__device__ __forceinline__ unsigned scale_place(unsigned row) {
  return row / WarpRows * WarpRows + row % 8 * (WarpRows / 8) + row % WarpRows / 8;
}

/// The copies of one thread: 16 bytes of each 32nd row of x and of W, and one row's scale. What depends on
/// the thread is computed anew in each block of K; registers are dearer.
template <class Tile>
struct GemmCopies {
  static constexpr int kStep = kGemmThreads / 8;  // rows, a multiple of 8: the swizzle is the same in all
  static constexpr int kOfX = Tile::kRows / kStep;
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
    copy_async_word(
        stage + (Tile::kRows + kGemmColumns) * kGemmDepth + 4 * scale_place<Tile::kWarpRows>(thread),
        x.scales + static_cast<unsigned>(k * static_cast<int>(scale_stride(x.rows)) + row), inside ? 4 : 0);
  }

 private:
  static __device__ __forceinline__ std::uint64_t wide(int row, unsigned width, unsigned column) {
    return static_cast<std::uint64_t>(static_cast<unsigned>(row)) * width + column;
  }
};

template <class Tile>
struct GemmWarp {
  static constexpr int kRowTiles = Tile::kWarpRows / 16;
  static constexpr int kGroupTiles = Tile::kGroupColumns / 8;
  static constexpr int kGroups = Tile::kWarpColumns / Tile::kGroupColumns;
  static constexpr int kSteps = kGemmDepth / 32;

  float sums[kRowTiles][kGroups * kGroupTiles][4] = {};  // [rows / 16][columns / 8][fragment]

  /// The warp's first row and column in the block's tile.
  static __device__ __forceinline__ unsigned row(unsigned thread) {
    return thread / kWarp / Tile::kWarpsAcross * Tile::kWarpRows;
  }
  static __device__ __forceinline__ unsigned column(unsigned thread) {
    return thread / kWarp % Tile::kWarpsAcross * Tile::kWarpColumns;
  }

  /// Adds one block of K. `between(group)` runs before the products of each group of columns.
  template <class Between>
  __device__ __forceinline__ void multiply(const unsigned char* stage, float w_scale, unsigned thread,
                                           const Between& between) {
    const unsigned lane = thread % kWarp;
    const unsigned char* w = stage + Tile::kRows * kGemmDepth;
    const float* scales = reinterpret_cast<const float*>(w + kGemmColumns * kGemmDepth) + row(thread) +
                          lane / 4 * (Tile::kWarpRows / 8);
    // Tiles of 8 rows by 16 bytes in the order of a fragment: rows, then K, of x; K, then columns, of W.
    const unsigned char* x_line = stage + (row(thread) + lane % 16) * kGemmDepth;
    const unsigned x_swizzle = (lane / 16 ^ lane % 8) << 4;
    const unsigned w_row = kGroupTiles == 1 ? lane % 8 : lane / 16 * 8 + lane % 8;
    const unsigned char* w_line = w + (column(thread) + w_row) * kGemmDepth;
    const unsigned w_swizzle = ((kGroupTiles == 1 ? lane / 8 : lane / 8 % 2) ^ lane % 8) << 4;
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
      std::uint32_t b[kSteps][kGroupTiles][2];
      between(group);
      load_columns(b, w_line + group * Tile::kGroupColumns * kGemmDepth, w_swizzle);
      std::int32_t partial[kRowTiles][kGroupTiles][4];
      fill(partial, kIntegerOrigin);
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
#pragma unroll
        for (int j = 0; j < kGroupTiles; ++j) {
#pragma unroll
          for (int i = 0; i < kRowTiles; ++i) {
            multiply_s8(partial[i][j], a[step][i], b[step][j], partial[i][j]);
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

 private:
  /// Right operands of 8 columns, two steps a load, or 16 columns, one.
  static __device__ __forceinline__ void load_columns(std::uint32_t (&b)[kSteps][kGroupTiles][2],
                                                      const unsigned char* line, unsigned swizzle) {
    static_assert(kGroupTiles <= 2);
    constexpr int kAtOnce = 3 - kGroupTiles;
#pragma unroll
    for (int step = 0; step < kSteps; step += kAtOnce) {
      std::uint32_t four[4];
      load_tiles(four, line + (swizzle ^ 2 * step << 4));
#pragma unroll
      for (int e = 0; e < 4; ++e) b[step + e / 2 % kAtOnce][e / 2 % kGroupTiles][e % 2] = four[e];
    }
  }
};

template <class Tile, class Epilogue>
__device__ __forceinline__ void finish_tile(GemmWarp<Tile>& warp, const TilePlace& place, int rows,
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
  for (int i = 0; i < GemmWarp<Tile>::kRowTiles; ++i) {
    add_bias(warp.sums[i], epilogue, bias + first_column, lane);
    if constexpr (kStatistic != RowStatistic::none) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float part = row_statistic<kStatistic>(warp.sums[i], half);
        const int r = warp_row + 16 * i + 8 * half + quad;
        if (lane % 4 == 0) parts[warp_column / Tile::kWarpColumns * Tile::kRows + r] = part;
      }
    }
  }
  if constexpr (kStatistic != RowStatistic::none) {
    __syncthreads();
    for (int r = static_cast<int>(thread); r < Tile::kRows; r += kGemmThreads) {
      float whole = parts[r];
#pragma unroll
      for (int i = 1; i < Tile::kWarpsAcross; ++i)
        whole = join<kStatistic>(whole, parts[i * Tile::kRows + r]);
      parts[r] = whole;
      if (place.row + r < rows) epilogue.row_done(place.row + r, place.column, whole);
    }
    __syncthreads();
  }
  auto* slab = reinterpret_cast<float*>(shared + kSlabBytes * (thread / kWarp));
#pragma unroll
  for (int i = 0; i < GemmWarp<Tile>::kRowTiles; ++i) {
    float statistic[2] = {0, 0};
    if constexpr (kStatistic == RowStatistic::largest) {
      statistic[0] = parts[warp_row + 16 * i + quad];
      statistic[1] = parts[warp_row + 16 * i + 8 + quad];
    }
#pragma unroll
    for (int c = 0; c < Tile::kWarpColumns; c += kSlabColumns) {
      store_rows(slab, warp.sums[i] + c / 8, epilogue, statistic, place.row + warp_row + 16 * i, rows,
                 first_column + c, lane);
    }
  }
}

template <class Tile, class Epilogue>
__global__ void __launch_bounds__(kGemmThreads, 1)
    gemm_w8a8_kernel(Int8Rows x, Int8Weight weight, Epilogue epilogue) {
  using Copies = GemmCopies<Tile>;
  unsigned thread = threadIdx.x;
  const TilePlace place = TilePlace::of_block<Tile::kRows>();
  if (place.row >= x.rows) return;
  unsigned char* shared = shared_memory();
  const int blocks_of_k = static_cast<int>(weight.in / kGemmDepth);
  const float* w_scales = weight.scales + place.column / kScaleGroup * blocks_of_k;
  const Copies copies{x, weight, place};
#pragma unroll 1
  for (int k = 0; k < Tile::kStages - 1; ++k) {
    const bool inside = k < blocks_of_k;
    copies.start(shared + k * Tile::kStageBytes, k, inside, 0, Copies::kCount, thread);
    copies.start_scale(shared + k * Tile::kStageBytes, k, inside, thread);
    copy_commit();
  }
  GemmWarp<Tile> warp;
  int stage = 0;
  int ahead = Tile::kStages - 1;
#pragma unroll 1
  for (int k = 0; k < blocks_of_k; ++k) {
    copy_wait<Tile::kStages - 2>();
    // The block's copies are here, and all warps have left the stage that is filled next.
    __syncthreads();
    forget(thread);
    const int next = k + Tile::kStages - 1;
    const bool inside = next < blocks_of_k;
    unsigned char* to = shared + ahead * Tile::kStageBytes;
    warp.multiply(shared + stage * Tile::kStageBytes, w_scales[k], thread, [&](int group) {
      constexpr int kShare = (Copies::kCount + Tile::kCopyGroups - 1) / Tile::kCopyGroups;
      if (group >= Tile::kCopyGroups) return;
      const int end = (group + 1) * kShare;
      copies.start(to, next, inside, group * kShare, end < Copies::kCount ? end : Copies::kCount, thread);
      if (group == Tile::kCopyGroups - 1) copies.start_scale(to, next, inside, thread);
    });
    copy_commit();
    stage = stage + 1 == Tile::kStages ? 0 : stage + 1;
    ahead = ahead + 1 == Tile::kStages ? 0 : ahead + 1;
  }
  // The last stages' zeros, too, or they would land on what the epilogue puts there.
  copy_wait<0>();
  __syncthreads();
  forget(thread);
  finish_tile(warp, place, static_cast<int>(x.rows), weight.bias, epilogue, shared, thread);
}

}  // namespace turboclip::cuda
