#include "engine/tensor.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "engine/text.h"

namespace turboclip {

static_assert(std::endian::native == std::endian::little,
              "checkpoints are little-endian and are read without swapping bytes");

std::size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
    case DType::i16:
      return 2;
    case DType::i8:
    case DType::u8:
    case DType::boolean:
      return 1;
  }
  return 1;
}

std::string_view dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return "F64";
    case DType::f32:
      return "F32";
    case DType::f16:
      return "F16";
    case DType::bf16:
      return "BF16";
    case DType::i64:
      return "I64";
    case DType::i32:
      return "I32";
    case DType::i16:
      return "I16";
    case DType::i8:
      return "I8";
    case DType::u8:
      return "U8";
    case DType::boolean:
      return "BOOL";
  }
  return "F32";
}

std::string shape_text(const Shape& shape) {
  std::ostringstream out;
  out << '[';
  for (std::size_t i = 0; i < shape.size(); ++i) out << (i == 0 ? "" : ", ") << shape[i];
  out << ']';
  return out.str();
}

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

bool TensorView::contiguous() const {
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 0) return true;
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

Tensor::Tensor(Shape tensor_shape) : shape(std::move(tensor_shape)) {
  values.resize(static_cast<std::size_t>(element_count(shape)));
}

namespace {

/// A stored value of type T at any address: nothing in the formats promises alignment.
template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float float_from_f16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 31u;
  const std::uint32_t fraction = bits & 1023u;
  if (exponent == 0) {  // zero and subnormals: fraction * 2^-24, exact in float32
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (fraction << 13));
}

struct FromF16 {
  using Stored = std::uint16_t;
  static float convert(Stored bits) { return float_from_f16(bits); }
};
struct FromBf16 {
  using Stored = std::uint16_t;
  static float convert(Stored bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};
struct FromBool {
  using Stored = std::uint8_t;
  static float convert(Stored byte) { return byte != 0 ? 1.0f : 0.0f; }
};
template <class T>
struct FromNumber {
  using Stored = T;
  static float convert(T value) { return static_cast<float>(value); }
};

/// Calls body(first, count, step) for each row of the last dimension, in row-major order, or once for all of
/// a contiguous tensor: `count` values that lie `step` bytes apart.
template <class Body>
void for_each_row(const TensorView& view, const Body& body) {
  const auto bytes = static_cast<std::int64_t>(dtype_size(view.dtype));
  // A convolution's rows have three values: they are not taken one by one where they lie side by side.
  if (view.contiguous()) return body(view.data, element_count(view.shape), bytes);
  const std::size_t rank = view.shape.size();
  const std::int64_t run = rank == 0 ? 1 : view.shape[rank - 1];
  const std::int64_t step = (rank == 0 ? 1 : view.strides[rank - 1]) * bytes;
  const std::int64_t rows = run == 0 ? 0 : element_count(view.shape) / run;
  std::vector<std::int64_t> index(rank, 0);
  std::int64_t offset = 0;  // in elements, of the present row
  for (std::int64_t row = 0; row < rows; ++row) {
    body(view.data + offset * bytes, run, step);
    for (std::size_t dim = rank < 2 ? 0 : rank - 1; dim-- > 0;) {
      offset += view.strides[dim];
      if (++index[dim] < view.shape[dim]) break;
      offset -= view.strides[dim] * view.shape[dim];
      index[dim] = 0;
    }
  }
}

template <class From>
void copy_strided(const TensorView& view, float* out) {
  for_each_row(view, [&](const std::byte* from, std::int64_t count, std::int64_t step) {
    for (std::int64_t i = 0; i < count; ++i) {
      *out++ = From::convert(load<typename From::Stored>(from + i * step));
    }
  });
}

}  // namespace

TensorView rows_of(const TensorView& view, std::int64_t first, std::int64_t count) {
  TensorView part = view;
  part.shape[0] = count;
  part.data += first * view.strides[0] * static_cast<std::int64_t>(dtype_size(view.dtype));
  return part;
}

Tensor to_float(const TensorView& view) {
  Tensor out(view.shape);
  if (view.dtype == DType::f32 && view.contiguous()) {
    if (!out.values.empty()) std::memcpy(out.data(), view.data, out.values.size() * sizeof(float));
    return out;
  }
  switch (view.dtype) {
    case DType::f64:
      copy_strided<FromNumber<double>>(view, out.data());
      break;
    case DType::f32:
      copy_strided<FromNumber<float>>(view, out.data());
      break;
    case DType::f16:
      copy_strided<FromF16>(view, out.data());
      break;
    case DType::bf16:
      copy_strided<FromBf16>(view, out.data());
      break;
    case DType::i64:
      copy_strided<FromNumber<std::int64_t>>(view, out.data());
      break;
    case DType::i32:
      copy_strided<FromNumber<std::int32_t>>(view, out.data());
      break;
    case DType::i16:
      copy_strided<FromNumber<std::int16_t>>(view, out.data());
      break;
    case DType::i8:
      copy_strided<FromNumber<std::int8_t>>(view, out.data());
      break;
    case DType::u8:
      copy_strided<FromNumber<std::uint8_t>>(view, out.data());
      break;
    case DType::boolean:
      copy_strided<FromBool>(view, out.data());
      break;
  }
  return out;
}

std::vector<std::byte> row_major_bytes(const TensorView& view) {
  const std::size_t bytes = dtype_size(view.dtype);
  std::vector<std::byte> out(static_cast<std::size_t>(element_count(view.shape)) * bytes);
  std::byte* to = out.data();
  for_each_row(view, [&](const std::byte* from, std::int64_t count, std::int64_t step) {
    for (std::int64_t i = 0; i < count; ++i, to += bytes) std::memcpy(to, from + i * step, bytes);
  });
  return out;
}

}  // namespace turboclip
