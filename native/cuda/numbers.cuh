// Arithmetic on the kernels' number formats that several of them share.
#pragma once

#include <cstdint>

#include "cuda/numbers.h"
#include "cuda/simt.cuh"

namespace turboclip::cuda {

__device__ __forceinline__ float low_half(std::uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_half(std::uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

/// Eight neighbouring bfloat16 values, one 16-byte access.
__device__ __forceinline__ void unpack_bf16(float (&out)[8], const uint4& raw) {
  const std::uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = low_half(words[i]);
    out[2 * i + 1] = high_half(words[i]);
  }
}
__device__ __forceinline__ void load_bf16(float (&out)[8], const Bf16* from) {
  unpack_bf16(out, *reinterpret_cast<const uint4*>(from));
}
__device__ __forceinline__ void store_bf16(Bf16* to, const float (&values)[8]) {
  *reinterpret_cast<uint4*>(to) =
      make_uint4(pack_bf16(values[0], values[1]), pack_bf16(values[2], values[3]),
                 pack_bf16(values[4], values[5]), pack_bf16(values[6], values[7]));
}

/// The nearest bfloat16.
__device__ __forceinline__ float round_bf16(float value) { return low_half(pack_bf16(value, 0.0f)); }

/// Eight neighbouring float32 values.
__device__ __forceinline__ void load_floats(float (&out)[8], const float* from) {
#pragma unroll
  for (int i = 0; i < 8; i += 4) {
    const float4 four = *reinterpret_cast<const float4*>(from + i);
    out[i] = four.x;
    out[i + 1] = four.y;
    out[i + 2] = four.z;
    out[i + 3] = four.w;
  }
}

/// The scale that takes `largest` to 127; 1 for values that are as good as zeros, NaN for NaN.
__device__ __forceinline__ float int8_scale(float largest) {
  return largest < 1e-30f ? 1.0f : largest * (1.0f / 127.0f);
}

/// 1.5 * 2^23: an int32 sum that began with it, and stayed under 2^22, has the bits of a float of 12582912
/// more. Cards convert int32 at an eighth of the rate at which they subtract.
inline constexpr std::int32_t kIntegerOrigin = 0x4B400000;
inline constexpr int kFloatOrigin = 12582912;
__device__ __forceinline__ float from_origin(std::int32_t sum) { return __int_as_float(sum) - kFloatOrigin; }

/// Eight neighbouring values times `factor`, at most 127 in size, rounded to int8; one 8-byte access. Added
/// to the float origin a value stands in the low byte: a third of what conversions and shifts take.
__device__ __forceinline__ void store_int8(std::int8_t* to, const float (&values)[8], float factor) {
  std::uint32_t bytes[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) bytes[i] = __float_as_uint(fmaf(values[i], factor, kFloatOrigin));
  const auto four = [&](int i) {
    return __byte_perm(__byte_perm(bytes[i], bytes[i + 1], 0x0040),
                       __byte_perm(bytes[i + 2], bytes[i + 3], 0x0040), 0x5410);
  };
  *reinterpret_cast<uint2*>(to) = make_uint2(four(0), four(4));
}

/// Sets all sums of a tile of fragments.
template <int Rows, int Columns>
__device__ __forceinline__ void fill(std::int32_t (&sums)[Rows][Columns][4], std::int32_t value) {
#pragma unroll
  for (int i = 0; i < Rows; ++i) {
#pragma unroll
    for (int j = 0; j < Columns; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[i][j][e] = value;
    }
  }
}

inline constexpr unsigned kAllLanes = 0xffffffffu;

/// Sum or maximum (NaN if any is) over groups of `Lanes` neighbouring lanes; every lane gets it.
template <int Lanes, class Value>
__device__ __forceinline__ Value lanes_sum(Value value) {
#pragma unroll
  for (int bit = 1; bit < Lanes; bit *= 2) value += __shfl_xor_sync(kAllLanes, value, bit);
  return value;
}
template <int Lanes>
__device__ __forceinline__ float lanes_max(float value) {
#pragma unroll
  for (int bit = 1; bit < Lanes; bit *= 2) value = max_or_nan(value, __shfl_xor_sync(kAllLanes, value, bit));
  return value;
}

/// GELU, tanh form: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
__device__ __forceinline__ float gelu(float x) {
  const float inner = 0.7978845608f * x * (1.0f + 0.044715f * x * x);
  return 0.5f * x * (1.0f + tanh_fast(inner));
}

}  // namespace turboclip::cuda
