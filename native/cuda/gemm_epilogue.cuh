// What becomes of a tile's sums: the epilogues of the W8A8 product, shared by its portable and its Hopper
// form.
#pragma once

#include "cuda/numbers.cuh"

namespace turboclip::cuda {

/// An epilogue is a struct with
///   kStatistic; `row_done(row, column, statistic)`, once for a row and 128 columns from `column` on;
///   `gate_of_columns()`, factors of the columns, or nullptr; `value(sum, gate)`, what becomes of a sum with
///   its bias; Pair, what two neighbours are stored as; `factor(statistic)` of a row and `pair(a, b,
///   factor)`; Output, and `output()`, where it goes, [rows, width]; kAdds: what is there is added to, pairs
///   are float32 until then.
enum class RowStatistic { none, squares, largest };

struct StoreBf16 {
  static constexpr RowStatistic kStatistic = RowStatistic::none;
  static constexpr bool kAdds = false;
  using Output = Bf16;
  using Pair = std::uint32_t;
  Bf16* y;

  __device__ __forceinline__ const float* gate_of_columns() const { return nullptr; }
  __device__ __forceinline__ float value(float sum, float) const { return sum; }
  __device__ __forceinline__ void row_done(int, int, float) const {}
  __device__ __forceinline__ float factor(float) const { return 0; }
  __device__ __forceinline__ Pair pair(float a, float b, float) const { return pack_bf16(a, b); }
  __host__ __device__ __forceinline__ Output* output() const { return y; }
};

struct StoreBf16WithSquares {
  static constexpr RowStatistic kStatistic = RowStatistic::squares;
  static constexpr bool kAdds = false;
  using Output = Bf16;
  using Pair = std::uint32_t;
  StoreBf16 plain;
  float* squares;
  std::int64_t stride;

  __device__ __forceinline__ const float* gate_of_columns() const { return nullptr; }
  __device__ __forceinline__ float value(float sum, float) const { return sum; }
  __device__ __forceinline__ void row_done(int row, int column, float sum) const {
    squares[column / kScaleGroup * stride + row] = sum;
  }
  __device__ __forceinline__ float factor(float) const { return 0; }
  __device__ __forceinline__ Pair pair(float a, float b, float) const { return pack_bf16(a, b); }
  __host__ __device__ __forceinline__ Output* output() const { return plain.y; }
};

struct StoreGeluInt8 {
  static constexpr RowStatistic kStatistic = RowStatistic::largest;
  static constexpr bool kAdds = false;
  using Output = std::int8_t;
  using Pair = std::uint16_t;
  std::int8_t* y;
  float* scales;
  std::int64_t stride;

  __device__ __forceinline__ const float* gate_of_columns() const { return nullptr; }
  __device__ __forceinline__ float value(float sum, float) const { return gelu(sum); }
  __device__ __forceinline__ void row_done(int row, int column, float largest) const {
    scales[column / kScaleGroup * stride + row] = int8_scale(largest);
  }
  __device__ __forceinline__ float factor(float largest) const { return reciprocal(int8_scale(largest)); }
  /// Rounded to int8: added to the float origin a value stands in the low byte.
  __device__ __forceinline__ Pair pair(float a, float b, float factor) const {
    return static_cast<Pair>(__byte_perm(__float_as_uint(fmaf(a, factor, kFloatOrigin)),
                                         __float_as_uint(fmaf(b, factor, kFloatOrigin)), 0x0040));
  }
  __host__ __device__ __forceinline__ Output* output() const { return y; }
};

struct AddToResidual {
  static constexpr RowStatistic kStatistic = RowStatistic::none;
  static constexpr bool kAdds = true;
  using Output = Bf16;
  using Pair = float2;
  Bf16* sum;
  const float* gate;  // nullptr: 1

  __device__ __forceinline__ const float* gate_of_columns() const { return gate; }
  __device__ __forceinline__ float value(float y, float gate_of_column) const { return y * gate_of_column; }
  __device__ __forceinline__ void row_done(int, int, float) const {}
  __device__ __forceinline__ float factor(float) const { return 0; }
  __device__ __forceinline__ Pair pair(float a, float b, float) const { return make_float2(a, b); }
  __host__ __device__ __forceinline__ Output* output() const { return sum; }
};

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

}  // namespace turboclip::cuda
