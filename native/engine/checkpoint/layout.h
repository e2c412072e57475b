// Sizes and strides from untrusted numbers, overflow-checked; both readers use them.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/tensor.h"

namespace turboclip {

/// Bytes of a tensor of this shape, or nothing when a size is negative or the product (with zeros counted as
/// ones, so that no partial product overflows either) does not fit 63 bits.
inline std::optional<std::int64_t> byte_count(const Shape& shape, DType dtype) {
  std::int64_t product = static_cast<std::int64_t>(dtype_size(dtype));
  bool empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0) return std::nullopt;
    empty = empty || size == 0;
    if (size > 0 && __builtin_mul_overflow(product, size, &product)) return std::nullopt;
  }
  return empty ? 0 : product;
}

/// Strides in elements of a row-major tensor. The shape must have passed byte_count.
inline Shape row_major_strides(const Shape& shape) {
  Shape strides(shape.size());
  std::int64_t step = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= shape[i] == 0 ? 1 : shape[i];
  }
  return strides;
}

}  // namespace turboclip
