// What becomes of a tile's sums: the epilogues of the W8A8 product, shared by its portable and its Hopper
// form. A warp hands over 16 rows by 32 columns at a time.
#pragma once

#include "cuda/numbers.cuh"

namespace turboclip::cuda {

/// An epilogue is a struct with
///   kStatistic, `value(sum)`, what becomes of a sum with its bias, `row_done(row, column, statistic)`, once
///   for a row and 128 columns from `column` on, and `store(row, column, eight values, statistic)`.
enum class RowStatistic { none, squares, largest };

struct StoreBf16 {
  static constexpr RowStatistic kStatistic = RowStatistic::none;
  Bf16* y;
  std::int64_t width;

  __device__ __forceinline__ float value(float sum) const { return sum; }
  __device__ __forceinline__ void row_done(int, int, float) const {}
  __device__ __forceinline__ void store(int row, int column, const float (&v)[8], float) const {
    store_bf16(y + row * width + column, v);
  }
};

struct StoreBf16WithSquares {
  static constexpr RowStatistic kStatistic = RowStatistic::squares;
  StoreBf16 plain;
  float* squares;
  std::int64_t stride;

  __device__ __forceinline__ float value(float sum) const { return sum; }
  __device__ __forceinline__ void row_done(int row, int column, float sum) const {
    squares[column / kScaleGroup * stride + row] = sum;
  }
  __device__ __forceinline__ void store(int row, int column, const float (&v)[8], float) const {
    plain.store(row, column, v, 0.0f);
  }
};

struct StoreGeluInt8 {
  static constexpr RowStatistic kStatistic = RowStatistic::largest;
  std::int8_t* y;
  float* scales;
  std::int64_t width;
  std::int64_t stride;

  __device__ __forceinline__ float value(float sum) const { return gelu(sum); }
  __device__ __forceinline__ void row_done(int row, int column, float largest) const {
    scales[column / kScaleGroup * stride + row] = int8_scale(largest);
  }
  __device__ __forceinline__ void store(int row, int column, const float (&v)[8], float largest) const {
    store_int8(y + row * width + column, v, reciprocal(int8_scale(largest)));
  }
};

struct AddToResidual {
  static constexpr RowStatistic kStatistic = RowStatistic::none;
  Bf16* sum;
  const float* gate;  // nullptr: 1
  std::int64_t width;

  __device__ __forceinline__ float value(float y) const { return y; }
  __device__ __forceinline__ void row_done(int, int, float) const {}
  __device__ __forceinline__ void store(int row, int column, const float (&v)[8], float) const {
    float old[8];
    load_bf16(old, sum + row * width + column);
    float factors[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    if (gate != nullptr) load_floats(factors, gate + column);
#pragma unroll
    for (int i = 0; i < 8; ++i) old[i] = fmaf(factors[i], v[i], old[i]);
    store_bf16(sum + row * width + column, old);
  }
};

/// Sums plus bias, through the epilogue's `value`. sums: [columns / 8][fragment]; bias: of the first column.
template <int Tiles, class Epilogue>
__device__ __forceinline__ void add_bias(float (&sums)[Tiles][4], const Epilogue& epilogue, const float* bias,
                                         int lane) {
#pragma unroll
  for (int j = 0; j < Tiles; ++j) {
    const float2 two = *reinterpret_cast<const float2*>(bias + 8 * j + lane % 4 * 2);
#pragma unroll
    for (int e = 0; e < 4; ++e) sums[j][e] = epilogue.value(sums[j][e] + (e % 2 == 0 ? two.x : two.y));
  }
}

/// One of two parts of a row's statistic with the other.
template <RowStatistic Statistic>
__device__ __forceinline__ float join(float a, float b) {
  return Statistic == RowStatistic::largest ? max_or_nan(a, b) : a + b;
}

/// The statistic of row lane / 4 + 8 * half over the columns at hand; all lanes of a quad get it.
template <RowStatistic Statistic, int Tiles>
__device__ __forceinline__ float row_statistic(const float (&values)[Tiles][4], int half) {
  float part = 0;
#pragma unroll
  for (int j = 0; j < Tiles; ++j) {
#pragma unroll
    for (int e = 2 * half; e < 2 * half + 2; ++e) {
      const float v = values[j][e];
      part = join<Statistic>(part, Statistic == RowStatistic::largest ? fabsf(v) : v * v);
    }
  }
  return Statistic == RowStatistic::largest ? lanes_max<4>(part) : lanes_sum<4>(part);
}

/// Sixteen rows by 32 columns on their way through shared memory, from the fragments of mma to eight
/// neighbours a lane; the padding keeps rows off one another's banks.
inline constexpr int kSlabColumns = 32;
inline constexpr int kSlabStride = kSlabColumns + 8;
inline constexpr int kSlabBytes = 16 * kSlabStride * static_cast<int>(sizeof(float));

/// Stores 16 rows by 32 columns; rows from `rows` on are left out. values: four fragments; statistic: of rows
/// lane / 4 and 8 more.
template <class Epilogue>
__device__ __forceinline__ void store_rows(float* slab, const float (*values)[4], const Epilogue& epilogue,
                                           const float (&statistic)[2], int row, int rows, int column,
                                           int lane) {
  const int quad = lane / 4;
#pragma unroll
  for (int j = 0; j < kSlabColumns / 8; ++j) {
    float* at = slab + quad * kSlabStride + 8 * j + lane % 4 * 2;
    *reinterpret_cast<float2*>(at) = make_float2(values[j][0], values[j][1]);
    *reinterpret_cast<float2*>(at + 8 * kSlabStride) = make_float2(values[j][2], values[j][3]);
  }
  __syncwarp();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float eight[8];
    load_floats(eight, slab + (quad + 8 * half) * kSlabStride + lane % 4 * 8);
    const int r = row + quad + 8 * half;
    if (r < rows) epilogue.store(r, column + lane % 4 * 8, eight, statistic[half]);
  }
  __syncwarp();
}

}  // namespace turboclip::cuda
