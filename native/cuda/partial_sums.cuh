// Adding up what the products of a prompt's linear layers left in parts.
#pragma once

#include "cuda/numbers.cuh"
#include "cuda/partial_sums.h"

namespace turboclip::cuda {

/// How many parts a column's sums have. It takes two divisions.
__device__ __forceinline__ unsigned parts_of(const PartialSums& sums, int column) {
  return sums.values == nullptr ? 0 : sums.shares.parts(static_cast<unsigned>(column) / kFewRowsColumns);
}

/// values += the sums of eight neighbouring columns, part after part: the same bits every time. Of several
/// rows at once, `Apart` rows apart, those before `end`, so that more is on its way from memory.
template <int Rows, int Apart>
__device__ __forceinline__ void add_sums(float (&values)[Rows][8], const PartialSums& sums, unsigned parts,
                                         int row, int end, int column) {
  const std::int64_t stride = sums.rows * sums.out;
  const float* from = sums.values + row * sums.out + column;
#pragma unroll(Rows == 1 ? 8 : 2)
  for (unsigned part = 0; part < parts; ++part) {
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
      if (row + i * Apart >= end) continue;
      float some[8];
      load_floats(some, from + part * stride + i * Apart * sums.out);
#pragma unroll
      for (int e = 0; e < 8; ++e) values[i][e] += some[e];
    }
  }
}

}  // namespace turboclip::cuda
