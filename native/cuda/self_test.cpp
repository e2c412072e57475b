#include "cuda/self_test.h"

#include <cmath>
#include <cstdlib>

#include "engine/text.h"

namespace turboclip {
namespace {

constexpr std::int64_t kColumns = 256;
/// The device answers in bfloat16, which is within 2^-9 of the sum.
constexpr double kRounding = 0x1p-8;

/// Small integers without a pattern that tiles could share, and scales by which float32 multiplies exactly.
Int8Blocks blocks(std::int64_t rows, std::int64_t row_stride, std::int64_t column_stride) {
  Int8Blocks out;
  out.rows = rows;
  out.columns = kColumns;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < kColumns; ++column) {
      out.values.push_back(
          static_cast<std::int8_t>((row * row_stride + column * column_stride + row * column) % 251 - 125));
    }
  }
  const std::int64_t count = (rows + kInt8Block - 1) / kInt8Block * (kColumns / kInt8Block);
  for (std::int64_t i = 0; i < count; ++i) out.scales.push_back(std::ldexp(1.0f, static_cast<int>(-i % 4)));
  return out;
}

double scale_at(const Int8Blocks& matrix, std::int64_t row, std::int64_t group) {
  return matrix.scales[static_cast<std::size_t>(row / kInt8Block * (kColumns / kInt8Block) + group)];
}

double known_answer(const Int8Blocks& x, const Int8Blocks& w, std::int64_t row, std::int64_t out) {
  double sum = 0;
  for (std::int64_t group = 0; group < kColumns / kInt8Block; ++group) {
    std::int32_t slice = 0;
    for (std::int64_t i = group * kInt8Block; i < (group + 1) * kInt8Block; ++i) {
      slice += x.values[static_cast<std::size_t>(row * kColumns + i)] *
               w.values[static_cast<std::size_t>(out * kColumns + i)];
    }
    sum += slice * scale_at(x, row, group) * scale_at(w, out, group);
  }
  return sum;
}

}  // namespace

Status check_int8_product(const Int8Product& product) {
  // 130 rows: a whole tile, and one that the matrix ends in.
  const Int8Blocks x = blocks(130, 7, 13);
  const Int8Blocks w = blocks(128, 29, 5);
  const Result<Tensor> y = product(x, w);
  if (!y) return y.error();
  for (std::int64_t row = 0; row < x.rows; ++row) {
    for (std::int64_t out = 0; out < w.rows; ++out) {
      const double expected = known_answer(x, w, row, out);
      const double found = y.value().values[static_cast<std::size_t>(row * w.rows + out)];
      if (std::abs(found - expected) <= kRounding * std::abs(expected)) continue;
      return Error{ErrorCode::internal, concat("of a product of known numbers it made ", found, " at [", row,
                                               ", ", out, "] where ", expected, " is right")};
    }
  }
  return success();
}

}  // namespace turboclip
