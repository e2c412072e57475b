// The INT8 form of a matrix as the -quant checkpoints hold it: one scale for each block of 128 x 128 values.
#pragma once

#include <cstdint>
#include <vector>

namespace turboclip {

inline constexpr std::int64_t kInt8Block = 128;

/// values[r][c] * scales[r / 128][c / 128] is what row r, column c stands for.
struct Int8Blocks {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<std::int8_t> values;  // [rows, columns]
  std::vector<float> scales;        // [ceil(rows / 128), ceil(columns / 128)]
};

inline std::int64_t int8_block_count(std::int64_t size) { return (size + kInt8Block - 1) / kInt8Block; }

/// As the reference implementation quantises (thu-ml/TurboDiffusion, ops/quant): scale = amax / 128 with amax
/// at least 1e-8, value = round(x * (128 / amax)) with halves to even, clamped to [-128, 127]. x is
/// [rows, columns], row-major. A value that is no number becomes 0, as in a conversion that saturates.
Int8Blocks quantize_int8_blocks(const float* x, std::int64_t rows, std::int64_t columns);

}  // namespace turboclip
