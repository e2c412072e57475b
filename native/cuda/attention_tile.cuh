// What sparse and cross-attention share: the running softmax of 16 rows of a warp, the product with values,
// and the quantised output.
#pragma once

#include "cuda/tiles.cuh"

namespace turboclip::cuda {

inline constexpr float kMinusInfinity = -__builtin_huge_valf();
/// 1 / sqrt(128), times log2 e: scores become exponents of 2.
inline constexpr float kScoreScale = 0.08838834764831845f * 1.4426950408889634f;

/// A weight may be this large, and more, before its row's reference is raised: bfloat16 and float32 hold it
/// as well as 1. The sums stay far from the largest float: 2^40 * 2^17 keys * values of up to 2^60.
inline constexpr float kMostWeight = 0x1p40f;

/// Sixteen rows by 128 channels of output, unnormalised, in the fragments of mma: rows lane / 4 and 8 more.
/// Origin is what scores are too large by: it is taken off in the exponent, where it costs nothing a score.
///
/// Weights are relative to a reference, which is a score of the row and need not be its largest: no maximum
/// is taken of scores unless a weight is too large for it. That happens with a row's first keys, when there
/// is no reference, and then hardly ever, so exponentials can begin as soon as their scores are there.
template <int Origin>
struct OutputRows {
  float sums[kHeadWidth / 8][4] = {};
  float reference[2] = {kMinusInfinity, kMinusInfinity};
  float total[2] = {0, 0};  // of this lane's weights; the quad's sum is the row's

  /// Turns scores [keys / 8][fragment] into weights 2^(score * scale - reference), which may take their
  /// place, and sums this lane's into `part`.
  template <int Tiles>
  __device__ __forceinline__ void weigh(float (&weights)[Tiles][4], float (&part)[2],
                                        const float (&scores)[Tiles][4], const float (&scale)[2]) const {
    const float less[2] = {Origin == 0 ? -reference[0] : fmaf(-Origin, scale[0], -reference[0]),
                           Origin == 0 ? -reference[1] : fmaf(-Origin, scale[1], -reference[1])};
    part[0] = 0;
    part[1] = 0;
#pragma unroll
    for (int j = 0; j < Tiles; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        weights[j][e] = exp2_fast(fmaf(scores[j][e], scale[e / 2], less[e / 2]));
        part[e / 2] += weights[j][e];
      }
    }
  }
  /// Whether weights of that sum will do; if not, the reference is to be raised, and the scores weighed
  /// again.
  static __device__ __forceinline__ bool fit(const float (&part)[2]) {
    return part[0] <= kMostWeight && part[1] <= kMostWeight;  // which NaN is not
  }
  __device__ __forceinline__ void add(const float (&part)[2]) {
    total[0] += part[0];
    total[1] += part[1];
  }

  /// Whether weights of the scores would not fit, before there are any: for scores that nobody keeps.
  template <int Tiles>
  __device__ __forceinline__ bool outgrown(const float (&scores)[Tiles][4], const float (&scale)[2]) const {
    constexpr float kMostExponent = 32;
    bool any = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      any = any | ((largest_of(scores, half) - Origin) * scale[half] > reference[half] + kMostExponent);
    }
    return any;
  }

  /// Raises the rows' references to the largest of the scores, so that no weight exceeds 2^most; what was
  /// summed is to be multiplied by `by`.
  template <int Tiles>
  __device__ __forceinline__ void raise(float (&by)[2], const float (&scores)[Tiles][4],
                                        const float (&scale)[2], float most = 0) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float raised =
          fmaxf(reference[half], (lanes_max<4>(largest_of(scores, half)) - Origin) * scale[half] - most);
      by[half] = exp2_fast(reference[half] - raised);
      reference[half] = raised;
    }
  }
  __device__ __forceinline__ void shrink(const float (&by)[2]) {
    total[0] *= by[0];
    total[1] *= by[1];
#pragma unroll
    for (int j = 0; j < kHeadWidth / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[j][e] *= by[e / 2];
    }
  }

  template <int Tiles>
  __device__ __forceinline__ void raise_and_shrink(const float (&scores)[Tiles][4], const float (&scale)[2]) {
    float by[2];
    raise(by, scores, scale);
    shrink(by);
  }

  /// Divides by the sum of the weights.
  __device__ __forceinline__ void normalize() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float factor = reciprocal(lanes_sum<4>(total[half]));
#pragma unroll
      for (int j = 0; j < kHeadWidth / 8; ++j) {
        sums[j][2 * half] *= factor;
        sums[j][2 * half + 1] *= factor;
      }
    }
  }

  template <int Tiles>
  static __device__ __forceinline__ float largest_of(const float (&scores)[Tiles][4], int half) {
    float value = fmaxf(scores[0][2 * half], scores[0][2 * half + 1]);
#pragma unroll
    for (int j = 1; j < Tiles; ++j) value = fmaxf(value, fmaxf(scores[j][2 * half], scores[j][2 * half + 1]));
    return value;
  }

  /// Quantises the rows into 16 x 128 bytes of shared memory and gives each row's scale to `store_scale(row,
  /// scale)`.
  template <class StoreScale>
  __device__ __forceinline__ void quantize(unsigned char* slab, int lane,
                                           const StoreScale& store_scale) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float largest_value = 0;
#pragma unroll
      for (int j = 0; j < kHeadWidth / 8; ++j) {
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          largest_value = max_or_nan(largest_value, fabsf(sums[j][e]));
        }
      }
      const float scale = int8_scale(lanes_max<4>(largest_value));
      const int row = lane / 4 + 8 * half;
      if (lane % 4 == 0) store_scale(row, scale);
      const float factor = reciprocal(scale);
#pragma unroll
      for (int j = 0; j < kHeadWidth / 8; ++j) {
        const std::uint32_t low = __float_as_uint(fmaf(sums[j][2 * half], factor, kFloatOrigin));
        const std::uint32_t high = __float_as_uint(fmaf(sums[j][2 * half + 1], factor, kFloatOrigin));
        // 16-byte chunks swizzled by the row, so that rows do not share banks.
        const int column = 8 * j + lane % 4 * 2;
        *reinterpret_cast<std::uint16_t*>(slab + row * kHeadWidth + ((column / 16 ^ (row & 7)) << 4) +
                                          column % 16) =
            static_cast<std::uint16_t>(__byte_perm(low, high, 0x0040));
      }
    }
  }
};

/// Copies a slab of quantised rows to y [rows, stride]: rows from `count` on are left out. A warp's work.
__device__ __forceinline__ void store_slab(const unsigned char* slab, std::int8_t* y, std::int64_t stride,
                                           int count, int lane) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = 4 * i + lane / 8;
    const int chunk = lane % 8;
    if (row >= count) continue;
    *reinterpret_cast<uint4*>(y + row * stride + chunk * 16) =
        *reinterpret_cast<const uint4*>(slab + row * kHeadWidth + ((chunk ^ (row & 7)) << 4));
  }
}

/// Quantises a warp's 16 normalised rows of a head, from `row` on, by way of a slab that the warp has left,
/// and stores those before `tokens`.
template <class Rows>
__device__ __forceinline__ void store_rows(Rows& rows, unsigned char* slab, int row, std::int64_t tokens,
                                           int head, std::int64_t channels, std::int8_t* y, float* y_scales,
                                           int lane) {
  const auto end = static_cast<int>(tokens);
  float* scales = y_scales + head * scale_stride(tokens);
  rows.quantize(slab, lane, [&](int r, float value) {
    if (row + r < end) scales[row + r] = value;
  });
  __syncwarp();
  if (row < end) store_slab(slab, y + row * channels + head * kHeadWidth, channels, end - row, lane);
}

/// Weights of 16 keys as the left operand of the product with their values.
__device__ __forceinline__ void pack_weights(std::uint32_t (&out)[4], const float (&first)[4],
                                             const float (&second)[4]) {
  out[0] = pack_bf16(first[0], first[1]);
  out[1] = pack_bf16(first[2], first[3]);
  out[2] = pack_bf16(second[0], second[1]);
  out[3] = pack_bf16(second[2], second[3]);
}

/// rows += weights [16, 16 * Steps keys] times values: a tile of bfloat16 rows from `key` on. Several groups
/// of 16 rows share what is read.
template <int Groups, int Steps, int Origin>
__device__ __forceinline__ void add_values(OutputRows<Origin> (&rows)[Groups],
                                           const std::uint32_t (&weights)[Groups][Steps][4],
                                           const unsigned char* values, int key, int lane) {
  // head_chunk(values, key + 16 * step + lane % 16, 2 * j + lane / 16), with what does not change apart.
  const unsigned char* line = values + (key + lane % 16) * kHeadRowBytes;
  const int swizzle = (lane / 16 ^ lane % 8) << 4;
#pragma unroll
  for (int step = 0; step < Steps; ++step) {
#pragma unroll
    for (int j = 0; j < kHeadWidth / 16; ++j) {
      std::uint32_t b[4];
      load_tiles_transposed(b, line + 16 * step * kHeadRowBytes + (swizzle ^ 2 * j << 4));
      const std::uint32_t left[2] = {b[0], b[1]};
      const std::uint32_t right[2] = {b[2], b[3]};
#pragma unroll
      for (int i = 0; i < Groups; ++i) {
        multiply_add_bf16(rows[i].sums[2 * j], weights[i][step], left);
        multiply_add_bf16(rows[i].sums[2 * j + 1], weights[i][step], right);
      }
    }
  }
}

}  // namespace turboclip::cuda
