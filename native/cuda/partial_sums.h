// How the products of a prompt's linear layers are divided among thread blocks, and where the parts of their
// sums lie until the next kernel adds them up.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace turboclip::cuda {

/// Output columns that a thread block computes at a time.
inline constexpr int kFewRowsColumns = 256;

/// Tiles of kFewRowsColumns columns, each `depth` blocks of K deep, laid end to end and cut into `count`
/// shares of equal length but for one block: then every multiprocessor has as many bytes of the weights to
/// read. A tile that is cut has a part of its sums from each share that it lies in.
struct Shares {
  unsigned depth = 1;
  unsigned total = 1;  // depth * tiles
  unsigned count = 1;  // total * count is below 2^32

  __host__ __device__ unsigned begin(unsigned share) const { return share * total / count; }
  /// The share that has this block of K.
  __host__ __device__ unsigned owner(unsigned block) const { return ((block + 1) * count - 1) / total; }
  __host__ __device__ unsigned first_owner(unsigned tile) const { return owner(tile * depth); }
  __host__ __device__ unsigned parts(unsigned tile) const {
    return owner((tile + 1) * depth - 1) - first_owner(tile) + 1;
  }
  /// Of the tile that has most.
  unsigned most_parts() const {
    unsigned most = 1;
    for (unsigned tile = 0; tile * depth < total; ++tile) most = parts(tile) > most ? parts(tile) : most;
    return most;
  }
};

/// Part p of the sum of a row and column lies at values[(p * rows + row) * out + column].
struct PartialSums {
  const float* values = nullptr;  // nullptr: no sums, which are zeros
  std::int64_t rows = 0;
  std::int64_t out = 0;
  Shares shares;
};

}  // namespace turboclip::cuda
