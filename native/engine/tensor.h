// Tensors as the checkpoint readers hand them out (TensorView: borrowed, any stored type) and as the
// CPU engine computes on them (Tensor: owned, float32, row-major).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace turboclip {

enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

std::size_t dtype_size(DType dtype);
/// The safetensors spelling: "F32", "BF16", "I8" ...
std::string_view dtype_name(DType dtype);

using Shape = std::vector<std::int64_t>;

/// "[2, 3, 4]", as messages show a shape.
std::string shape_text(const Shape& shape);

/// Product of the sizes; the readers refuse shapes whose product overflows, so this cannot.
std::int64_t element_count(const Shape& shape);

/// A stored tensor inside a checkpoint; valid while its Checkpoint lives.
/// strides are in elements; data points at element 0 and need not be aligned: read it with memcpy.
struct TensorView {
  DType dtype = DType::f32;
  Shape shape;
  Shape strides;
  const std::byte* data = nullptr;

  bool contiguous() const;
};

/// `count` of the first dimension, from `first` on.
TensorView rows_of(const TensorView& view, std::int64_t first, std::int64_t count);

/// Owned float32 values, row-major (last dimension fastest).
struct Tensor {
  Shape shape;
  std::vector<float> values;

  Tensor() = default;
  explicit Tensor(Shape tensor_shape);
  std::int64_t size(std::size_t dim) const { return shape[dim]; }
  float* data() { return values.data(); }
  const float* data() const { return values.data(); }
};

/// Copies any stored numeric type and any strides into a row-major float32 tensor.
Tensor to_float(const TensorView& view);

/// Copies the stored values, of any strides, into row-major order as they are.
std::vector<std::byte> row_major_bytes(const TensorView& view);

}  // namespace turboclip
