// AVX2: bytes widened to 16 bits, whose pairwise products vpmaddwd adds exactly for every int8 (vpmaddubsw
// would saturate). 3 rows of 4 registers, each the two half sums of 4 columns.
#include "cpu/kernels.h"
#include "cpu/kernels_int8_quantize.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace turboclip::cpu {

#ifdef __AVX2__
namespace {

constexpr int kRows = 3;
constexpr int kColumns = 4;  // of one register
constexpr int kParts = static_cast<int>(kPanel) / kColumns;

/// Columns 0 to 7 out of their half sums: [c0 c0 c1 c1 | c2 c2 c3 c3] and the same of 4 to 7.
inline __m256 whole_sums(__m256i low, __m256i high) {
  return _mm256_cvtepi32_ps(_mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), 0b11011000));
}

template <int kTileRows>
void tile_of(const Int8TileRows& left, const std::int8_t* panel, float weight_scale, float* out,
             std::int64_t out_stride) {
  // One row's values after another, widened.
  alignas(32) std::int16_t x[kTileRows][kInt8Slice];
  for (int r = 0; r < kTileRows; ++r) {
    for (std::int64_t k = 0; k < kInt8Slice; ++k) x[r][k] = left.values[r * left.stride + k];
  }
  __m256i sums[kTileRows][kParts] = {};
  for (std::int64_t k = 0; k < kInt8Slice; k += kInt8Group) {
    __m256i factors[kTileRows];
#pragma GCC unroll 4
    for (int r = 0; r < kTileRows; ++r) {
      factors[r] = _mm256_broadcastq_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(&x[r][k])));
    }
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) {
      const auto* bytes = reinterpret_cast<const __m128i*>(panel + k * kPanel + p * kColumns * kInt8Group);
      const __m256i columns = _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes));
#pragma GCC unroll 4
      for (int r = 0; r < kTileRows; ++r) {
        sums[r][p] = _mm256_add_epi32(sums[r][p], _mm256_madd_epi16(columns, factors[r]));
      }
    }
  }
  for (int r = 0; r < kTileRows; ++r) {
    const __m256 scale = _mm256_set1_ps(left.scales[r * left.scale_stride] * weight_scale);
    float* row = out + r * out_stride;
    for (int p = 0; p < kParts; p += 2) {
      float* to = row + p * kColumns;
      const __m256 product = _mm256_mul_ps(whole_sums(sums[r][p], sums[r][p + 1]), scale);
      _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), product));
    }
  }
}

void tile(const Int8TileRows& left, const std::int8_t* panel, float weight_scale, float* out,
          std::int64_t out_stride, std::int64_t rows) {
  if (rows == 3) return tile_of<3>(left, panel, weight_scale, out, out_stride);
  if (rows == 2) return tile_of<2>(left, panel, weight_scale, out, out_stride);
  tile_of<1>(left, panel, weight_scale, out, out_stride);
}

}  // namespace
#endif

const Int8Kernel* avx2_int8_kernel() {
#ifdef __AVX2__
  static constexpr Int8Kernel kernel{"avx2", kRows, tile, quantize};
  return __builtin_cpu_supports("avx2") ? &kernel : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace turboclip::cpu
