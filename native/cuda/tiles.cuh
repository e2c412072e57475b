// Tiles of a head's 128 bfloat16 channels in shared memory: rows of 256 bytes, whose 16-byte chunks are
// swizzled by the row so that ldmatrix meets no bank twice.
#pragma once

#include "cuda/numbers.cuh"

namespace turboclip::cuda {

inline constexpr int kHeadRowBytes = kHeadWidth * static_cast<int>(sizeof(Bf16));

__device__ __forceinline__ int head_offset(int row, int chunk) {
  return row * kHeadRowBytes + ((chunk ^ (row & 7)) << 4);
}
__device__ __forceinline__ const unsigned char* head_chunk(const unsigned char* tile, int row, int chunk) {
  return tile + head_offset(row, chunk);
}

/// Starts the copies of rows first .. first + Rows - 1 of a head; rows from `end` on become zeros. from: row
/// 0; stride in values.
template <int Rows, int Threads>
__device__ __forceinline__ void copy_head_rows(unsigned char* tile, const Bf16* from, int first, int end,
                                               std::int64_t stride, int thread) {
  constexpr int kChunks = kHeadRowBytes / 16;
#pragma unroll
  for (int i = 0; i < Rows * kChunks / Threads; ++i) {
    const int row = i * (Threads / kChunks) + thread / kChunks;
    const int chunk = thread % kChunks;
    const bool inside = first + row < end;
    copy_async(tile + head_offset(row, chunk), from + (inside ? (first + row) * stride : 0) + chunk * 8,
               inside ? 16 : 0);
  }
}

}  // namespace turboclip::cuda
