// The W8A8 product's main loop and the walk of its epilogues.
//
// Eight warps compute a tile of 64 rows a warp by 32 or 64 columns; K goes in blocks of 128, whose int32 sums
// are promoted to float32 with the block's scales. Rows of a stage are 128 bytes, their 16-byte chunks
// swizzled by the row so that neither ldmatrix nor the copies meet a bank twice.
#pragma once

#include "cuda/gemm_w8a8.h"
#include "cuda/numbers.cuh"

namespace turboclip::cuda {

inline constexpr int kGemmThreads = 256;

template <int WarpColumns>
struct GemmTile {
  static constexpr int kColumns = 128;  // one column of weight scales
  static constexpr int kDepth = kScaleGroup;
  static constexpr int kWarpRows = 64;
  static constexpr int kWarpsAcross = kColumns / WarpColumns;
  static constexpr int kRows = kWarpRows * (kGemmThreads / kWarp / kWarpsAcross);
  static constexpr int kStageBytes = (kRows + kColumns) * kDepth + kRows * static_cast<int>(sizeof(float));
  static constexpr int kStages = static_cast<int>(kSharedLimit) / kStageBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;
  /// Epilogue: 16 rows of a warp's float32 values at a time; the padding keeps accesses off one another's
  /// banks.
  static constexpr int kSlabStride = WarpColumns + 8;
  static constexpr int kSlabBytes = 16 * kSlabStride * static_cast<int>(sizeof(float));
  static constexpr int kPartBytes = kWarpsAcross * kRows * static_cast<int>(sizeof(float));
  static_assert(kStages >= 2 && kSharedBytes <= static_cast<int>(kSharedLimit));
  static_assert(kSlabBytes * (kGemmThreads / kWarp) + kPartBytes <= kSharedBytes);
};

/// Tiles of rows that are taken together, so that their x and a few columns of W stay in L2.
inline constexpr int kGemmRowGroup = 16;

template <int WarpColumns>
struct GemmWarp {
  using Tile = GemmTile<WarpColumns>;
  static constexpr int kGroups = WarpColumns / 32;

  int lane, row, column;              // of the warp's first value inside the block's tile
  float sums[kGroups][4][4][4] = {};  // [columns / 32][rows / 16][columns / 8][fragment]

  __device__ __forceinline__ explicit GemmWarp(int thread)
      : lane(thread % kWarp),
        row(thread / kWarp / Tile::kWarpsAcross * Tile::kWarpRows),
        column(thread / kWarp % Tile::kWarpsAcross * WarpColumns) {}

  /// Adds one block of K. x, w: the stage's rows; scales: of the stage's rows of x; w_scale: of the tile.
  __device__ __forceinline__ void multiply(const unsigned char* x, const unsigned char* w,
                                           const float* scales, float w_scale) {
    // 1.5 * 2^23: with it as the first addend the bits of an int32 sum under 2^22 are a float of 12582912 +
    // sum.
    constexpr std::int32_t kMagic = 0x4B400000;
    constexpr float kMagicValue = 12582912.0f;
    const int tile = lane / 8;
    const int x_row = row + tile % 2 * 8 + lane % 8;
    const int w_row = column + tile / 2 * 8 + lane % 8;
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      std::int32_t partial[4][4][4];
#pragma unroll
      for (int step = 0; step < Tile::kDepth / 32; ++step) {
        std::uint32_t a[4][4];
        std::uint32_t b[2][4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          load_tiles(a[i], chunk(x, x_row + 16 * i, 2 * step + tile / 2));
        }
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          load_tiles(b[j], chunk(w, w_row + 32 * group + 16 * j, 2 * step + tile % 2));
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            const std::uint32_t right[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
            if (step == 0) {
              const std::int32_t magic[4] = {kMagic, kMagic, kMagic, kMagic};
              multiply_s8(partial[i][j], a[i], right, magic);
            } else {
              multiply_s8(partial[i][j], a[i], right, partial[i][j]);
            }
          }
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float scale = scales[row + 16 * i + 8 * half + lane / 4] * w_scale;
#pragma unroll
          for (int j = 0; j < 4; ++j) {
#pragma unroll
            for (int e = 2 * half; e < 2 * half + 2; ++e) {
              float& sum = sums[group][i][j][e];
              sum = fmaf(__int_as_float(partial[i][j][e]) - kMagicValue, scale, sum);
            }
          }
        }
      }
    }
  }

  static __device__ __forceinline__ const unsigned char* chunk(const unsigned char* rows, int r, int c) {
    return rows + r * Tile::kDepth + ((c ^ (r & 7)) << 4);
  }
};

/// Operands and tile of one block.
template <int WarpColumns>
struct GemmBlock {
  using Tile = GemmTile<WarpColumns>;
  const Int8Rows& x;
  const Int8Weight& weight;
  int row, column;  // of the tile

  /// Tiles in groups of kGemmRowGroup rows of tiles; within a group down the rows first.
  __device__ __forceinline__ GemmBlock(const Int8Rows& rows, const Int8Weight& weights, int index)
      : x(rows), weight(weights) {
    const int row_tiles = static_cast<int>(ceil_div(x.rows, Tile::kRows));
    const int per_group = kGemmRowGroup * static_cast<int>(weight.out / Tile::kColumns);
    const int first = index / per_group * kGemmRowGroup;
    const int height = row_tiles - first < kGemmRowGroup ? row_tiles - first : kGemmRowGroup;
    row = (first + index % per_group % height) * Tile::kRows;
    column = index % per_group / height * Tile::kColumns;
  }

  /// Starts the copies of block `k` of K into a stage; rows past the last become zeros.
  __device__ __forceinline__ void copy_stage(unsigned char* stage, int k, int thread) const {
    const int c = thread % 8;
    const int first = thread / 8;
    constexpr int kStep = kGemmThreads / 8;  // rows, a multiple of 8: the swizzle is the same in all
    unsigned char* to = stage + first * Tile::kDepth + ((c ^ (first & 7)) << 4);
    const std::int8_t* from = x.values + (row + first) * x.width + k * Tile::kDepth + c * 16;
#pragma unroll
    for (int i = 0; i < Tile::kRows / kStep; ++i) {
      const bool inside = row + first + i * kStep < x.rows;
      copy_async(to + i * kStep * Tile::kDepth, inside ? from + i * kStep * x.width : x.values,
                 inside ? 16 : 0);
    }
    unsigned char* w = stage + Tile::kRows * Tile::kDepth;
    from = weight.values + (column + first) * weight.in + k * Tile::kDepth + c * 16;
    to += Tile::kRows * Tile::kDepth;
#pragma unroll
    for (int i = 0; i < Tile::kColumns / kStep; ++i) {
      copy_async(to + i * kStep * Tile::kDepth, from + i * kStep * weight.in, 16);
    }
    if (thread < Tile::kRows / 4) {
      const int left = static_cast<int>(x.rows) - row - 4 * thread;  // scales past the last row are zeros
      const int count = left < 0 ? 0 : left < 4 ? left : 4;
      copy_async(w + Tile::kColumns * Tile::kDepth + 16 * thread,
                 x.scales + k * scale_stride(x.rows) + (count > 0 ? row + 4 * thread : 0), 4 * count);
    }
  }
};

/// An epilogue is a struct with
///   Statistic (none, sum of squares or maximum over 128 columns of a row) and `value(sum, column)`, what
///   becomes of a sum, and `row_done(row, column group, statistic)`, and `store(row, column, eight values,
///   statistic)`.
enum class RowStatistic { none, squares, largest };

template <int WarpColumns, class Epilogue>
__device__ __forceinline__ void finish_tile(GemmWarp<WarpColumns>& warp, const GemmBlock<WarpColumns>& block,
                                            const Epilogue& epilogue, unsigned char* shared, int thread) {
  using Tile = GemmTile<WarpColumns>;
  constexpr int kGroups = GemmWarp<WarpColumns>::kGroups;
  const int quad = warp.lane / 4;
  const int pair = warp.lane % 4 * 2;
  auto* parts = reinterpret_cast<float*>(shared + Tile::kSlabBytes * (kGemmThreads / kWarp));
#pragma unroll
  for (int group = 0; group < kGroups; ++group) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int column = block.column + warp.column + 32 * group + 8 * j + pair;
      const float bias[2] = {block.weight.bias[column], block.weight.bias[column + 1]};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          warp.sums[group][i][j][e] = epilogue.value(warp.sums[group][i][j][e] + bias[e % 2]);
        }
      }
    }
  }
  if constexpr (Epilogue::kStatistic != RowStatistic::none) {
    constexpr bool kLargest = Epilogue::kStatistic == RowStatistic::largest;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float part = 0;
#pragma unroll
        for (int group = 0; group < kGroups; ++group) {
#pragma unroll
          for (int j = 0; j < 4; ++j) {
#pragma unroll
            for (int e = 2 * half; e < 2 * half + 2; ++e) {
              const float v = warp.sums[group][i][j][e];
              part = kLargest ? max_or_nan(part, fabsf(v)) : part + v * v;
            }
          }
        }
        part = kLargest ? lanes_max<4>(part) : lanes_sum<4>(part);
        const int r = warp.row + 16 * i + 8 * half + quad;
        if (pair == 0) parts[warp.column / WarpColumns * Tile::kRows + r] = part;
      }
    }
    __syncthreads();
    for (int r = thread; r < Tile::kRows; r += kGemmThreads) {
      float whole = parts[r];
#pragma unroll
      for (int i = 1; i < Tile::kWarpsAcross; ++i) {
        const float part = parts[i * Tile::kRows + r];
        whole = kLargest ? max_or_nan(whole, part) : whole + part;
      }
      parts[r] = whole;
      if (block.row + r < block.x.rows) epilogue.row_done(block.row + r, block.column, whole);
    }
    __syncthreads();
  }
  auto* slab = reinterpret_cast<float*>(shared + Tile::kSlabBytes * (thread / kWarp));
  constexpr int kLanesARow = WarpColumns / 8;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float* v = warp.sums[group][i][j];
        float* at = slab + quad * Tile::kSlabStride + 32 * group + 8 * j + pair;
        *reinterpret_cast<float2*>(at) = make_float2(v[0], v[1]);
        *reinterpret_cast<float2*>(at + 8 * Tile::kSlabStride) = make_float2(v[2], v[3]);
      }
    }
    __syncwarp();
    const int c = warp.lane % kLanesARow * 8;
#pragma unroll
    for (int r = warp.lane / kLanesARow; r < 16; r += kWarp / kLanesARow) {
      float values[8];
#pragma unroll
      for (int e = 0; e < 8; e += 4) {
        const float4 four = *reinterpret_cast<const float4*>(slab + r * Tile::kSlabStride + c + e);
        values[e] = four.x;
        values[e + 1] = four.y;
        values[e + 2] = four.z;
        values[e + 3] = four.w;
      }
      const int tile_row = warp.row + 16 * i + r;
      const float statistic = Epilogue::kStatistic == RowStatistic::largest ? parts[tile_row] : 0.0f;
      if (block.row + tile_row < block.x.rows) {
        epilogue.store(block.row + tile_row, block.column + warp.column + c, values, statistic);
      }
    }
    __syncwarp();
  }
}

template <int WarpColumns, class Epilogue>
__global__ void __launch_bounds__(kGemmThreads, 1)
    gemm_w8a8_kernel(Int8Rows x, Int8Weight weight, Epilogue epilogue) {
  using Tile = GemmTile<WarpColumns>;
  const int thread = static_cast<int>(threadIdx.x);
  const GemmBlock<WarpColumns> block(x, weight, static_cast<int>(blockIdx.x));
  unsigned char* shared = shared_memory();
  const int blocks_of_k = static_cast<int>(weight.in / Tile::kDepth);
  const float* w_scales = weight.scales + block.column / kScaleGroup * blocks_of_k;
#pragma unroll
  for (int k = 0; k < Tile::kStages - 1; ++k) {
    if (k < blocks_of_k) block.copy_stage(shared + k * Tile::kStageBytes, k, thread);
    copy_commit();
  }
  GemmWarp<WarpColumns> warp(thread);
  int stage = 0;
  int ahead = Tile::kStages - 1;
  for (int k = 0; k < blocks_of_k; ++k) {
    copy_wait<Tile::kStages - 2>();
    // The block's copies are here, and all warps have left the stage that is filled next.
    __syncthreads();
    if (k + Tile::kStages - 1 < blocks_of_k) {
      block.copy_stage(shared + ahead * Tile::kStageBytes, k + Tile::kStages - 1, thread);
    }
    copy_commit();
    const unsigned char* at = shared + stage * Tile::kStageBytes;
    const unsigned char* w = at + Tile::kRows * Tile::kDepth;
    warp.multiply(at, w, reinterpret_cast<const float*>(w + Tile::kColumns * Tile::kDepth), w_scales[k]);
    stage = stage + 1 == Tile::kStages ? 0 : stage + 1;
    ahead = ahead + 1 == Tile::kStages ? 0 : ahead + 1;
  }
  __syncthreads();
  finish_tile(warp, block, epilogue, shared, thread);
}

}  // namespace turboclip::cuda
