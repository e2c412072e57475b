// What the sparse attentions of mma.sync share: INT8 rows of q and k in shared memory, and their products.
#pragma once

#include "cuda/attention_output.cuh"

namespace turboclip::cuda {

inline constexpr int kKeyBytes = kKeyBlock * kHeadWidth;  // of a block

/// The key block that comes `index`th for this block's queries, blockIdx.x: all in turn where there is no
/// map.
__device__ __forceinline__ int kept_block(const Sparse& sparse, const HeadShape& shape, int head, int index) {
  const auto kept = static_cast<int>(sparse.kept);
  const auto map = (head * static_cast<int>(shape.query_blocks()) + static_cast<int>(blockIdx.x)) * kept;
  return sparse.lut == nullptr ? index : sparse.lut[map + index];
}

/// The row that is copied for a row of a tile: past the last, the last. Such keys' scores are masked, such
/// queries' outputs not stored.
__device__ __forceinline__ std::uint64_t source_row(int row, int tokens) {
  return static_cast<std::uint64_t>(static_cast<unsigned>(row < tokens ? row : tokens - 1));
}

/// Starts the copies of INT8 rows `first` .. `first` + Rows - 1 of a head: 128 bytes a row, whose chunks are
/// swizzled by the row. from: [H][L][128].
template <int Rows, int Threads>
__device__ __forceinline__ void copy_int8_rows(unsigned char* tile, const std::int8_t* from,
                                               const HeadShape& shape, int head, int first, unsigned thread) {
  const auto tokens = static_cast<int>(shape.tokens);
#pragma unroll
  for (int i = 0; i < Rows * kHeadWidth / 16 / Threads; ++i) {
    const unsigned row = i * (Threads / 8) + thread / 8;
    const unsigned chunk = thread % 8;
    copy_async(tile + row * kHeadWidth + ((chunk ^ (row & 7)) << 4),
               from + (source_row(first + static_cast<int>(row), tokens) + head * shape.tokens) * kHeadWidth +
                   chunk * 16,
               16);
  }
}

/// Scores of 8 * Tiles keys from `key` of the tile on: integers, as floats that are kFloatOrigin more. q
/// gives a warp's left operands [group of 16 rows][4] of 32 channels.
template <int Groups, int Tiles, class Queries>
__device__ __forceinline__ void score(float (&out)[Groups][Tiles][4], const Queries& q,
                                      const unsigned char* keys, int key, int lane) {
  std::int32_t sums[Groups][Tiles][4];
  fill(sums, kIntegerOrigin);
  const unsigned char* line = keys + (key + lane / 16 * 8 + lane % 8) * kHeadWidth;
  const int swizzle = (lane / 8 % 2 ^ lane % 8) << 4;
#pragma unroll
  for (int step = 0; step < kHeadWidth / 32; ++step) {
    std::uint32_t left[Groups][4];
    q.get(left, step);
#pragma unroll
    for (int j = 0; j < Tiles / 2; ++j) {
      std::uint32_t b[4];
      load_tiles(b, line + 16 * j * kHeadWidth + (swizzle ^ 2 * step << 4));
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
#pragma unroll
        for (int i = 0; i < Groups; ++i) {
          std::int32_t(&sum)[4] = sums[i][2 * j + half];
          multiply_s8(sum, left[i], right, sum);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < Groups; ++i) {
#pragma unroll
    for (int j = 0; j < Tiles; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) out[i][j][e] = __int_as_float(sums[i][j][e]);
    }
  }
}

/// Scores of keys from `count` on become those of no key.
template <int Groups, int Tiles>
__device__ __forceinline__ void mask(float (&scores)[Groups][Tiles][4], int count, int lane) {
#pragma unroll
  for (int i = 0; i < Groups; ++i) {
#pragma unroll
    for (int j = 0; j < Tiles; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (8 * j + lane % 4 * 2 + e % 2 >= count) scores[i][j][e] = kMinusInfinity;
      }
    }
  }
}

}  // namespace turboclip::cuda
