#include "cuda/gemm_w8a8.h"

#include "check.h"
#include "cpu/linear.h"
#include "cuda/rows.h"
#include "support.h"

namespace turboclip::test {
namespace {

struct Case {
  std::int64_t rows, in, out;
};
// Around the tiles' 192 and 256 rows, one to five blocks of K in pipelines of two and more stages,
// several tiles of columns.
constexpr Case kCases[] = {{1, 128, 128},   {127, 256, 128}, {128, 384, 256}, {131, 512, 384},
                           {191, 128, 128}, {193, 256, 128}, {257, 640, 128}};

/// Runs body(tiles) for all tiles that the card can compute in.
template <class Body>
void in_all_tiles(const cuda::Queue& queue, const Body& body) {
  for (const cuda::GemmTiles tiles : cuda::gemm_tiles(queue.device())) body(tiles);
}

/// A layer on both sides: INT8 on the device, what it means in float32 for the CPU engine.
struct Layer {
  Case size;
  QuantizedRows x;
  std::vector<std::int8_t> w;
  std::vector<float> w_scales, bias;

  explicit Layer(const Case& c)
      : size(c),
        x(random_rows(c.rows, c.in, 1)),
        w(random_int8(c.out * c.in, 3)),
        bias(random_values(c.out, 4)) {
    w_scales = random_values(c.out / 128 * (c.in / 128), 5);
    for (float& scale : w_scales) scale = 0.002f * (1.5f + scale);
  }

  cpu::LinearWeights weights() const {
    std::vector<float> values(w.size());
    for (std::int64_t o = 0; o < size.out; ++o) {
      for (std::int64_t i = 0; i < size.in; ++i) {
        values[o * size.in + i] =
            static_cast<float>(w[o * size.in + i]) * w_scales[o / 128 * (size.in / 128) + i / 128];
      }
    }
    return cpu::pack_linear(values.data(), size.out, size.in, bias);
  }

  std::vector<float> expected(cpu::Activation activation) const {
    cpu::ThreadPool pool(1);
    std::vector<float> y(static_cast<std::size_t>(size.rows * size.out));
    const std::vector<float> rows = x.to_float();
    cpu::linear({pool, cpu::best_kernels()}, rows.data(), size.rows, weights(), y.data(), activation);
    return y;
  }
};

/// The layer's operands on the device.
struct DeviceLayer {
  cuda::DeviceArray<std::int8_t> x, w;
  cuda::DeviceArray<float> x_scales, w_scales, bias;
  cuda::Int8Rows rows;
  cuda::Int8Weight weight;

  DeviceLayer(cuda::Queue& queue, const Layer& layer) {
    x.upload(queue, layer.x.values);
    x_scales.upload(queue, layer.x.scales);
    w.upload(queue, layer.w);
    w_scales.upload(queue, layer.w_scales);
    bias.upload(queue, layer.bias);
    rows = {x.data(), x_scales.data(), layer.size.rows, layer.size.in};
    weight = {w.data(), w_scales.data(), bias.data(), layer.size.out, layer.size.in};
  }
};

TEST("the INT8 linear layer equals the CPU engine's on the same numbers, at every edge of its tiles") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const Case& size : kCases) {
    const Layer layer(size);
    const DeviceLayer device(queue, layer);
    const std::vector<float> expected = layer.expected(cpu::Activation::none);
    const auto check = [&](cuda::GemmTiles tiles) {
      cuda::DeviceArray<cuda::Bf16> y;
      cuda::DeviceArray<float> squares;
      const std::int64_t stride = cuda::scale_stride(size.rows);
      y.allocate(queue, size.rows * size.out);
      squares.allocate(queue, size.out / 128 * stride);
      cuda::linear_bf16(queue, device.rows, device.weight, y.data(), squares.data(), tiles);
      CHECK(relative_error(from_bf16(y.download(queue)), expected) < 3e-3);
      const std::vector<float> sums = download_scales(queue, squares, size.rows);
      double worst = 0;
      for (std::int64_t r = 0; r < size.rows; ++r) {
        for (std::int64_t group = 0; group < size.out / 128; ++group) {
          double sum = 0;
          for (std::int64_t c = 0; c < 128; ++c) sum += std::pow(expected[r * size.out + group * 128 + c], 2);
          worst = std::max(worst, std::fabs(sums[group * stride + r] / sum - 1));
        }
      }
      CHECK(worst < 1e-5);
      cuda::DeviceArray<cuda::Bf16> without;
      without.allocate(queue, size.rows * size.out);
      cuda::linear_bf16(queue, device.rows, device.weight, without.data(), nullptr, tiles);
      CHECK(from_bf16(without.download(queue)) == from_bf16(y.download(queue)));
    };
    in_both_orders([&] { in_all_tiles(queue, check); });
    CHECK(queue.finish().ok());
  }
}

TEST("GELU and re-quantisation in the INT8 layer's epilogue give the next layer its rows and scales") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const Case& size : kCases) {
    const Layer layer(size);
    const DeviceLayer device(queue, layer);
    const std::vector<float> expected = layer.expected(cpu::Activation::gelu);
    const auto check = [&](cuda::GemmTiles tiles) {
      cuda::DeviceArray<std::int8_t> y;
      cuda::DeviceArray<float> scales;
      y.allocate(queue, size.rows * size.out);
      scales.allocate(queue, size.out / 128 * cuda::scale_stride(size.rows));
      cuda::linear_gelu_int8(queue, device.rows, device.weight, y.data(), scales.data(), tiles);
      const QuantizedRows out{size.rows, size.out, y.download(queue),
                              download_scales(queue, scales, size.rows)};
      CHECK(relative_error(out.to_float(), expected) < 8e-3);
    };
    in_both_orders([&] { in_all_tiles(queue, check); });
    CHECK(queue.finish().ok());
  }
}

TEST("the INT8 layer adds its output to the residual stream, gated or not") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const Case& size : kCases) {
    const Layer layer(size);
    const DeviceLayer device(queue, layer);
    const std::vector<float> plain = layer.expected(cpu::Activation::none);
    const std::vector<float> before = random_bf16(size.rows * size.out, 8);
    const std::vector<float> gate = random_values(size.out, 9);
    cuda::DeviceArray<float> device_gate;
    device_gate.upload(queue, gate);
    for (const bool gated : {false, true}) {
      std::vector<float> expected = before;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        expected[i] += plain[i] * (gated ? gate[i % static_cast<std::size_t>(size.out)] : 1.0f);
      }
      in_all_tiles(queue, [&](cuda::GemmTiles tiles) {
        cuda::DeviceArray<cuda::Bf16> sum;
        sum.upload(queue, to_bf16(before));
        cuda::linear_add(queue, device.rows, device.weight, sum.data(), gated ? device_gate.data() : nullptr,
                         tiles);
        CHECK(relative_error(from_bf16(sum.download(queue)), expected) < 3e-3);
      });
    }
    CHECK(queue.finish().ok());
  }
}

TEST("all tiles of the INT8 layer give the same bytes, also where a multiprocessor has several to do") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  const Layer layer({128 * queue.device().multiprocessors + 5, 384, 512});
  const DeviceLayer device(queue, layer);
  const auto run = [&](cuda::GemmTiles tiles) {
    const std::int64_t values = layer.size.rows * layer.size.out;
    cuda::DeviceArray<cuda::Bf16> y;
    cuda::DeviceArray<std::int8_t> quantised;
    cuda::DeviceArray<float> scales;
    y.allocate(queue, values);
    quantised.allocate(queue, values);
    scales.allocate(queue, layer.size.out / 128 * cuda::scale_stride(layer.size.rows));
    cuda::linear_bf16(queue, device.rows, device.weight, y.data(), nullptr, tiles);
    cuda::linear_gelu_int8(queue, device.rows, device.weight, quantised.data(), scales.data(), tiles);
    return std::pair{from_bf16(y.download(queue)), quantised.download(queue)};
  };
  const auto expected = run(cuda::GemmTiles::portable);
  in_all_tiles(queue, [&](cuda::GemmTiles tiles) {
    const auto out = run(tiles);
    if (out != expected) record_failure(__FILE__, __LINE__, cuda::name(tiles));
  });
  CHECK(queue.finish().ok());
}

}  // namespace
}  // namespace turboclip::test
