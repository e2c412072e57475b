// AVX-512 VNNI: 16 rows of one register each. vpdpbusd multiplies unsigned by signed bytes, so the panel's
// are raised by 128, which is flipping their top bit and right for -128 too, and 128 times the row's sum is
// taken off beforehand. It adds in 32 bits without saturating.
#include "cpu/kernels.h"
#include "cpu/kernels_int8_quantize.h"

#ifdef __AVX512VNNI__
#include <immintrin.h>

#include <cstring>
#endif

namespace turboclip::cpu {

#ifdef __AVX512VNNI__
namespace {

constexpr int kRows = 16;

/// _mm512_cvtepi32_ps without the uninitialised operand that GCC 12 warns of in its own header.
inline __m512 to_float(__m512i integers) {
  using Ints = std::int32_t __attribute__((vector_size(64)));
  return __builtin_convertvector(reinterpret_cast<Ints>(integers), __m512);
}

template <int kTileRows>
void tile_of(const Int8TileRows& left, const std::int8_t* panel, float weight_scale, float* out,
             std::int64_t out_stride) {
  __m512i sums[kTileRows];
#pragma GCC unroll 16
  for (int r = 0; r < kTileRows; ++r) {
    sums[r] = _mm512_set1_epi32(-128 * left.sums[r * left.scale_stride]);
  }
  const __m512i top_bits = _mm512_set1_epi32(static_cast<std::int32_t>(0x80808080u));
  for (std::int64_t k = 0; k < kInt8Slice; k += kInt8Group) {
    const __m512i raised = _mm512_xor_si512(_mm512_loadu_si512(panel + k * kPanel), top_bits);
#pragma GCC unroll 16
    for (int r = 0; r < kTileRows; ++r) {
      std::int32_t group;
      std::memcpy(&group, left.values + r * left.stride + k, sizeof group);
      sums[r] = _mm512_dpbusd_epi32(sums[r], raised, _mm512_set1_epi32(group));
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kTileRows; ++r) {
    const __m512 scale = _mm512_set1_ps(left.scales[r * left.scale_stride] * weight_scale);
    float* to = out + r * out_stride;
    const __m512 product = _mm512_mul_ps(to_float(sums[r]), scale);
    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), product));
  }
}

template <int kTileRows>
void tile_up_to(const Int8TileRows& left, const std::int8_t* panel, float weight_scale, float* out,
                std::int64_t out_stride, std::int64_t rows) {
  if (rows == kTileRows) return tile_of<kTileRows>(left, panel, weight_scale, out, out_stride);
  if constexpr (kTileRows > 1) {
    return tile_up_to<kTileRows - 1>(left, panel, weight_scale, out, out_stride, rows);
  }
}

}  // namespace
#endif

const Int8Kernel* vnni_int8_kernel() {
#ifdef __AVX512VNNI__
  static constexpr Int8Kernel kernel{"avx512-vnni", kRows, tile_up_to<kRows>, quantize};
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") ? &kernel : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace turboclip::cpu
