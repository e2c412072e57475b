#include "cuda/gemm_bf16.h"

#include "check.h"
#include "cpu/linear.h"
#include "cuda/rows.h"

namespace turboclip::test {
namespace {

struct Case {
  std::int64_t rows, in, out;
};
// Around the tile of 128 rows and blocks of 64 of K; widths of text rows (48), patches (64, 144) and the
// head.
constexpr Case kCases[] = {{1, 48, 64}, {127, 64, 256}, {128, 144, 128}, {130, 256, 64}, {259, 8, 192}};

TEST(
    "the bfloat16 linear layer equals the CPU engine's at every edge of its tiles, with each of its "
    "outputs") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const Case& size : kCases) {
    const std::vector<float> x = random_bf16(size.rows * size.in, 41);
    const std::vector<float> w = random_bf16(size.out * size.in, 42);
    const std::vector<float> bias = random_values(size.out, 43);
    const auto expected = [&](cpu::Activation activation) {
      cpu::ThreadPool pool(1);
      std::vector<float> y(static_cast<std::size_t>(size.rows * size.out));
      cpu::linear({pool, cpu::best_kernels()}, x.data(), size.rows,
                  cpu::pack_linear(w.data(), size.out, size.in, bias), y.data(), activation);
      return y;
    };
    cuda::DeviceArray<cuda::Bf16> device_x, device_w;
    cuda::DeviceArray<float> device_bias;
    device_x.upload(queue, to_bf16(x));
    device_w.upload(queue, to_bf16(w));
    device_bias.upload(queue, bias);
    const cuda::Bf16Rows rows{device_x.data(), size.rows, size.in};
    const cuda::Bf16Weight weight{device_w.data(), device_bias.data(), size.out, size.in};
    in_both_orders([&] {
      cuda::DeviceArray<cuda::Bf16> y, activated;
      cuda::DeviceArray<float> exact;
      y.allocate(queue, size.rows * size.out);
      activated.allocate(queue, size.rows * size.out);
      exact.allocate(queue, size.rows * size.out);
      cuda::linear(queue, rows, weight, y.data());
      cuda::linear_gelu(queue, rows, weight, activated.data());
      cuda::linear_float(queue, rows, weight, exact.data());
      CHECK(relative_error(from_bf16(y.download(queue)), expected(cpu::Activation::none)) < 3e-3);
      CHECK(relative_error(from_bf16(activated.download(queue)), expected(cpu::Activation::gelu)) < 3e-3);
      CHECK(relative_error(exact.download(queue), expected(cpu::Activation::none)) < 1e-6);
    });
    CHECK(queue.finish().ok());
  }
}

}  // namespace
}  // namespace turboclip::test
