#include "engine/quant/int8_blocks.h"

#include <algorithm>
#include <cmath>

namespace turboclip {
namespace {

constexpr float kLevels = 128.0f;
constexpr float kLeastMaximum = 1e-8f;

/// The rows and columns of one block inside the matrix.
struct Window {
  std::int64_t row, row_end, column, column_end;
};

float largest_magnitude(const float* x, std::int64_t stride, const Window& window) {
  float maximum = kLeastMaximum;
  for (std::int64_t r = window.row; r < window.row_end; ++r) {
    for (std::int64_t c = window.column; c < window.column_end; ++c) {
      maximum = std::max(maximum, std::fabs(x[r * stride + c]));
    }
  }
  return maximum;
}

/// Adding 1.5 * 2^23 rounds to the nearest integer, halves to even; |value| is at most 128 but for rounding,
/// or no number.
std::int8_t to_level(float value) {
  if (!(value >= -kLevels)) return value < -kLevels ? std::int8_t{-128} : std::int8_t{0};
  const float level = (value + 12582912.0f) - 12582912.0f;
  return static_cast<std::int8_t>(std::min(level, kLevels - 1));
}

}  // namespace

Int8Blocks quantize_int8_blocks(const float* x, std::int64_t rows, std::int64_t columns) {
  Int8Blocks out{rows, columns, {}, {}};
  out.values.resize(static_cast<std::size_t>(rows * columns));
  for (std::int64_t row = 0; row < rows; row += kInt8Block) {
    for (std::int64_t column = 0; column < columns; column += kInt8Block) {
      const Window window{row, std::min(row + kInt8Block, rows), column,
                          std::min(column + kInt8Block, columns)};
      const float maximum = largest_magnitude(x, columns, window);
      // The product with the rounded quotient, not a division: it decides the ties.
      const float factor = kLevels / maximum;
      for (std::int64_t r = window.row; r < window.row_end; ++r) {
        for (std::int64_t c = window.column; c < window.column_end; ++c) {
          out.values[r * columns + c] = to_level(x[r * columns + c] * factor);
        }
      }
      out.scales.push_back(maximum / kLevels);
    }
  }
  return out;
}

}  // namespace turboclip
