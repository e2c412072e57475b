#include "engine/tensor.h"

#include <cmath>
#include <limits>

#include "check.h"
#include "engine/sampler/rcm.h"
#include "support.h"

namespace turboclip {
namespace {

template <class T>
std::vector<float> converted(DType dtype, const std::vector<T>& stored, Shape shape, Shape strides) {
  const std::string bytes = test::raw(stored);
  return to_float(
             {dtype, std::move(shape), std::move(strides), reinterpret_cast<const std::byte*>(bytes.data())})
      .values;
}

template <class T>
std::vector<float> converted(DType dtype, const std::vector<T>& stored) {
  return converted(dtype, stored, {static_cast<std::int64_t>(stored.size())}, {1});
}

using Floats = std::vector<float>;

TEST("every stored type converts to the float it stands for") {
  CHECK(converted<double>(DType::f64, {1.5, -2.25}) == (Floats{1.5f, -2.25f}));
  CHECK(converted<float>(DType::f32, {1.5f, -2.25f}) == (Floats{1.5f, -2.25f}));
  CHECK(converted<std::uint16_t>(DType::bf16, {0x3f80, 0xc010, 0x0000}) == (Floats{1.0f, -2.25f, 0.0f}));
  CHECK(converted<std::int64_t>(DType::i64, {-7, 1 << 20}) == (Floats{-7.0f, 1048576.0f}));
  CHECK(converted<std::int32_t>(DType::i32, {-7, 9}) == (Floats{-7.0f, 9.0f}));
  CHECK(converted<std::int16_t>(DType::i16, {-300, 9}) == (Floats{-300.0f, 9.0f}));
  CHECK(converted<std::int8_t>(DType::i8, {-128, 127}) == (Floats{-128.0f, 127.0f}));
  CHECK(converted<std::uint8_t>(DType::u8, {0, 255}) == (Floats{0.0f, 255.0f}));
  CHECK(converted<std::uint8_t>(DType::boolean, {0, 1}) == (Floats{0.0f, 1.0f}));
}

TEST("half precision converts exactly: subnormals, the largest value, infinity and NaN") {
  const Floats values = converted<std::uint16_t>(
      DType::f16, {0x0000, 0x8000, 0x0001, 0x03ff, 0x0400, 0x3c00, 0xc080, 0x7bff, 0x7c00, 0xfc00, 0x7e00});
  CHECK_EQUAL(values[0], 0.0f);
  CHECK(std::signbit(values[1]));
  CHECK_EQUAL(values[2], 0x1p-24f);
  CHECK_EQUAL(values[3], 1023 * 0x1p-24f);
  CHECK_EQUAL(values[4], 0x1p-14f);
  CHECK_EQUAL(values[5], 1.0f);
  CHECK_EQUAL(values[6], -2.25f);
  CHECK_EQUAL(values[7], 65504.0f);
  CHECK_EQUAL(values[8], std::numeric_limits<float>::infinity());
  CHECK_EQUAL(values[9], -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(values[10]));
}

TEST("strided views come out row-major: transposes, slices and repeated elements") {
  const std::vector<float> stored = {0, 1, 2, 3, 4, 5};
  CHECK(converted(DType::f32, stored, {3, 2}, {1, 3}) == (Floats{0, 3, 1, 4, 2, 5}));
  CHECK(converted(DType::f32, stored, {2, 2}, {3, 2}) == (Floats{0, 2, 3, 5}));
  CHECK(converted(DType::f32, stored, {2, 3}, {0, 1}) == (Floats{0, 1, 2, 0, 1, 2}));
  CHECK(converted(DType::f32, stored, {1, 3, 1, 2}, {6, 2, 2, 1}) == (Floats{0, 1, 2, 3, 4, 5}));
  CHECK(converted(DType::f32, stored, {}, {}) == (Floats{0}));
  CHECK(converted(DType::f32, stored, {2, 0}, {1, 1}).empty());
}

TEST("a view knows whether it is contiguous, whatever the strides of its dimensions of size 1") {
  CHECK((TensorView{DType::f32, {2, 1, 3}, {3, 99, 1}, nullptr}.contiguous()));
  CHECK((!TensorView{DType::f32, {3, 2}, {1, 3}, nullptr}.contiguous()));
  CHECK((!TensorView{DType::f32, {2, 3}, {0, 1}, nullptr}.contiguous()));
}

TEST("rounding to bfloat16 takes the nearest value and breaks ties to even") {
  CHECK_EQUAL(round_to_bf16(987.65f), 988.0f);
  CHECK_EQUAL(round_to_bf16(933.78f), 932.0f);
  CHECK_EQUAL(round_to_bf16(852.9f), 852.0f);
  CHECK_EQUAL(round_to_bf16(608.98f), 608.0f);
  CHECK_EQUAL(round_to_bf16(1.0f + 0x1p-8f), 1.0f);
  CHECK_EQUAL(round_to_bf16(1.0f + 3 * 0x1p-8f), 1.0f + 0x1p-6f);
  CHECK(std::isnan(round_to_bf16(std::nanf(""))));
  CHECK_EQUAL(round_to_bf16(std::numeric_limits<float>::infinity()), std::numeric_limits<float>::infinity());
}

}  // namespace
}  // namespace turboclip
