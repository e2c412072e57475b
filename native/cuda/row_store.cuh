// How a pass hands rows to a linear layer: eight neighbouring values a lane, as bfloat16 or quantised.
#pragma once

#include "cuda/numbers.cuh"

namespace turboclip::cuda {

inline constexpr int kPerLane = 8;

/// INT8 with a scale for each 128 channels of a row: values [rows, width], scales [width / 128][stride].
struct StoreInt8Row {
  std::int8_t* y;
  float* scales;
  std::int64_t width;
  std::int64_t stride;

  /// All lanes take part; those outside the row have zeros and store nothing.
  __device__ __forceinline__ void operator()(int row, int column, const float (&v)[8], bool inside) const {
    constexpr int kLanesPerGroup = kScaleGroup / kPerLane;
    float largest = 0;
#pragma unroll
    for (int e = 0; e < 8; ++e) largest = max_or_nan(largest, fabsf(v[e]));
    const float scale = int8_scale(lanes_max<kLanesPerGroup>(largest));
    if (!inside) return;
    store_int8(y + row * width + column, v, reciprocal(scale));
    if (column % kScaleGroup == 0) scales[column / kScaleGroup * stride + row] = scale;
  }
};

struct StoreBf16Row {
  Bf16* y;
  std::int64_t width;

  __device__ __forceinline__ void operator()(int row, int column, const float (&v)[8], bool inside) const {
    if (inside) store_bf16(y + row * width + column, v);
  }
};

__device__ __forceinline__ void store_floats(float* to, const float (&v)[8]) {
  *reinterpret_cast<float4*>(to) = {v[0], v[1], v[2], v[3]};
  *reinterpret_cast<float4*>(to + 4) = {v[4], v[5], v[6], v[7]};
}

struct StoreFloatRow {
  float* y;
  std::int64_t width;

  __device__ __forceinline__ void operator()(int row, int column, const float (&v)[8], bool inside) const {
    if (inside) store_floats(y + row * width + column, v);
  }
};

}  // namespace turboclip::cuda
