#include "cuda/norm.h"

#include "check.h"
#include "cpu/norm.h"
#include "cuda/rows.h"

namespace turboclip::test {
namespace {

struct Case {
  std::int64_t rows, width;
};
// One group of channels to the widest row, in each of the kernels that hold a row in registers, whole and in
// part; more rows than the emulated card has at once, which bring later ones near.
constexpr Case kCases[] = {{1, 128},  {9, 256},  {7, 512},   {8, 384},   {17, 1536},
                           {5, 1664}, {3, 5120}, {101, 384}, {85, 1536}, {27, 5120}};

std::vector<float> normed(const std::vector<float>& x, const Case& size, const std::vector<float>& gain,
                          const std::vector<float>& shift) {
  cpu::ThreadPool pool(1);
  std::vector<float> in = x;
  std::vector<float> out(x.size());
  cpu::modulated_layer_norm({pool, cpu::best_kernels()}, {in.data(), size.rows, size.width}, gain.data(),
                            shift.data(), out.data());
  return out;
}

/// A residual stream's rows: far from zero in the mean.
std::vector<float> stream(const Case& size) {
  std::vector<float> x = random_values(size.rows * size.width, 11);
  for (float& value : x) value = 3 * value + 20;
  return from_bf16(to_bf16(x));
}

TEST("layer norm, modulation and quantisation in one pass equal the CPU engine's, up to the INT8 step") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const Case& size : kCases) {
    const std::vector<float> x = stream(size);
    const std::vector<float> gain = random_values(size.width, 12);
    const std::vector<float> shift = random_values(size.width, 13);
    const std::vector<float> expected = normed(x, size, gain, shift);
    cuda::DeviceArray<cuda::Bf16> device_x, plain;
    cuda::DeviceArray<float> device_gain, device_shift, scales;
    cuda::DeviceArray<std::int8_t> y;
    device_x.upload(queue, to_bf16(x));
    device_gain.upload(queue, gain);
    device_shift.upload(queue, shift);
    y.allocate(queue, size.rows * size.width);
    plain.allocate(queue, size.rows * size.width);
    scales.allocate(queue, size.width / 128 * cuda::scale_stride(size.rows));
    const cuda::Bf16Rows rows{device_x.data(), size.rows, size.width};
    const cuda::Modulation modulation{device_gain.data(), device_shift.data()};
    cuda::layer_norm_int8(queue, rows, modulation, y.data(), scales.data());
    cuda::layer_norm_bf16(queue, rows, modulation, plain.data());
    const QuantizedRows out{size.rows, size.width, y.download(queue),
                            download_scales(queue, scales, size.rows)};
    CHECK(relative_error(out.to_float(), expected) < 8e-3);
    CHECK(relative_error(from_bf16(plain.download(queue)), expected) < 3e-3);
    CHECK(queue.finish().ok());
  }
}

TEST("quantised rows hold every value within half a step of its own scale, and zeros have scale 1") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const Case& size : kCases) {
    std::vector<float> x = random_bf16(size.rows * size.width, 14);
    std::fill_n(x.begin(), 128, 0.0f);
    cuda::DeviceArray<cuda::Bf16> device_x;
    cuda::DeviceArray<float> scales;
    cuda::DeviceArray<std::int8_t> y;
    device_x.upload(queue, to_bf16(x));
    y.allocate(queue, size.rows * size.width);
    scales.allocate(queue, size.width / 128 * cuda::scale_stride(size.rows));
    cuda::quantize_rows(queue, {device_x.data(), size.rows, size.width}, y.data(), scales.data());
    const QuantizedRows out{size.rows, size.width, y.download(queue),
                            download_scales(queue, scales, size.rows)};
    const std::vector<float> values = out.to_float();
    bool close = true;
    for (std::int64_t i = 0; i < size.rows * size.width; ++i) {
      const float scale = out.scales[i % size.width / 128 * cuda::scale_stride(size.rows) + i / size.width];
      close = close && std::fabs(values[i] - x[i]) <= 0.5001f * scale;
    }
    CHECK(close);
    CHECK_EQUAL(out.scales[0], 1.0f);
    CHECK(queue.finish().ok());
  }
}

TEST("a value that is no number is not quantised into one") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  std::vector<float> x = random_bf16(2 * 256, 15);
  x[5] = std::numeric_limits<float>::quiet_NaN();
  cuda::DeviceArray<cuda::Bf16> device_x;
  cuda::DeviceArray<float> scales;
  cuda::DeviceArray<std::int8_t> y;
  device_x.upload(queue, to_bf16(x));
  y.allocate(queue, 2 * 256);
  scales.allocate(queue, 2 * cuda::scale_stride(2));
  cuda::quantize_rows(queue, {device_x.data(), 2, 256}, y.data(), scales.data());
  const std::vector<float> out = download_scales(queue, scales, 2);
  CHECK(std::isnan(out[0]));
  CHECK(!std::isnan(out[1]));
  CHECK(!std::isnan(out[4]));
}

}  // namespace
}  // namespace turboclip::test
