// Descriptions of arrays for tensor copies (TMA).
#pragma once

#include <cuda.h>

#include "cuda/numbers.h"

namespace turboclip::cuda {

using Encode = decltype(&cuTensorMapEncodeTiled);

/// The driver's function, which a library that is opened without one must not link with; nullptr if it has
/// none.
inline Encode find_encode() {
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found{};
  constexpr unsigned kSince = 12000;
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, kSince, cudaEnableDefault, &found) !=
          cudaSuccess ||
      found != cudaDriverEntryPointSuccess) {
    return nullptr;
  }
  return reinterpret_cast<Encode>(entry);
}

/// Boxes of `box_rows` by `box_columns` values of an array [rows, width] whose rows are `stride` bytes apart,
/// a multiple of 16. What lies outside reads as zeros and is not written.
inline bool describe_array(CUtensorMap& map, CUtensorMapDataType type, const void* values, std::int64_t rows,
                           std::int64_t width, std::int64_t stride, int box_rows, int box_columns,
                           CUtensorMapSwizzle swizzle) {
  static const Encode encode = find_encode();
  if (encode == nullptr) return false;
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(width), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(stride)};
  const cuuint32_t box_sizes[2] = {static_cast<cuuint32_t>(box_columns), static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[2] = {1, 1};
  return encode(&map, type, 2, const_cast<void*>(values), sizes, strides, box_sizes, steps,
                CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

/// Boxes of `box` rows by 128 columns of int8 values [rows, width], swizzled; rows past the last read as
/// zeros.
inline bool describe(CUtensorMap& map, const std::int8_t* values, std::int64_t rows, std::int64_t width,
                     int box) {
  return describe_array(map, CU_TENSOR_MAP_DATA_TYPE_UINT8, values, rows, width, width, box, kScaleGroup,
                        CU_TENSOR_MAP_SWIZZLE_128B);
}

/// Boxes of 128 bytes of rows of bfloat16 values, swizzled.
inline bool describe(CUtensorMap& map, const Bf16* values, std::int64_t rows, std::int64_t width, int box) {
  constexpr int kBytes = sizeof(Bf16);
  return describe_array(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, values, rows, width, width * kBytes, box,
                        128 / kBytes, CU_TENSOR_MAP_SWIZZLE_128B);
}

/// Boxes of the scales of `box` rows and one group of channels. The padding that makes the groups' scales
/// begin aligned lies outside: nobody writes it, and nobody reads it.
inline bool describe_scales(CUtensorMap& map, const float* scales, std::int64_t rows, std::int64_t groups,
                            int box) {
  return describe_array(map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, scales, groups, rows,
                        scale_stride(rows) * static_cast<std::int64_t>(sizeof(float)), 1, box,
                        CU_TENSOR_MAP_SWIZZLE_NONE);
}

/// Boxes of `box_height` x `box_width` pixels by `depth` channels (64 bytes, swizzled) of a frame [height,
/// width, channels] of halves; pixels and channels outside of it read as zeros.
inline bool describe_frame(CUtensorMap& map, const F16* values, int height, int width, int channels,
                           int box_height, int box_width, int depth) {
  static const Encode encode = find_encode();
  if (encode == nullptr) return false;
  const auto pixel = static_cast<cuuint64_t>(channels) * sizeof(F16);
  const cuuint64_t sizes[3] = {static_cast<cuuint64_t>(channels), static_cast<cuuint64_t>(width),
                               static_cast<cuuint64_t>(height)};
  const cuuint64_t strides[2] = {pixel, pixel * static_cast<cuuint64_t>(width)};
  const cuuint32_t box[3] = {static_cast<cuuint32_t>(depth), static_cast<cuuint32_t>(box_width),
                             static_cast<cuuint32_t>(box_height)};
  const cuuint32_t steps[3] = {1, 1, 1};
  return encode(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 3, const_cast<F16*>(values), sizes, strides, box,
                steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_64B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace turboclip::cuda
