#include "cuda/gemm_w8a8.h"

#include <cstring>

#include "check.h"
#include "cpu/linear.h"
#include "cuda/rows.h"
#include "support.h"

namespace turboclip::test {
namespace {

struct Case {
  std::int64_t rows, in, out;
};
// Around the tiles' 192 and 256 rows, one to five blocks of K in pipelines of two and more stages, several
// tiles of columns.
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

/// NaN stands between the rows of one group and those of the next.
bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// What a layer makes of its rows in all epilogues.
struct Outputs {
  std::vector<float> plain, squares, sum;
  std::vector<std::int8_t> quantised;
  std::vector<float> scales;

  Outputs(cuda::Queue& queue, const Layer& layer, const std::vector<float>& before, cuda::GemmTiles tiles) {
    const DeviceLayer device(queue, layer);
    const std::int64_t values = layer.size.rows * layer.size.out;
    const std::int64_t groups = layer.size.out / 128 * cuda::scale_stride(layer.size.rows);
    cuda::DeviceArray<cuda::Bf16> y, stream;
    cuda::DeviceArray<std::int8_t> bytes;
    cuda::DeviceArray<float> row_squares, row_scales, gate;
    y.allocate(queue, values);
    bytes.allocate(queue, values);
    row_squares.allocate(queue, groups);
    row_scales.allocate(queue, groups);
    stream.upload(queue, to_bf16(before));
    gate.upload(queue, random_values(layer.size.out, 9));
    cuda::linear_bf16(queue, device.rows, device.weight, y.data(), row_squares.data(), tiles);
    cuda::linear_gelu_int8(queue, device.rows, device.weight, bytes.data(), row_scales.data(), tiles);
    cuda::linear_add(queue, device.rows, device.weight, stream.data(), gate.data(), tiles);
    plain = from_bf16(y.download(queue));
    squares = download_scales(queue, row_squares, layer.size.rows);
    sum = from_bf16(stream.download(queue));
    quantised = bytes.download(queue);
    scales = download_scales(queue, row_scales, layer.size.rows);
  }
};

TEST("all tiles of the INT8 layer give the same bytes, also where a multiprocessor has several to do") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  const std::int64_t multiprocessors = queue.device().multiprocessors;
  // The second: two blocks of K, so that every copy ahead is of the next tile.
  for (const Case& size :
       {Case{128 * multiprocessors + 5, 384, 512}, Case{64 * multiprocessors + 1, 256, 768}}) {
    const Layer layer(size);
    const std::vector<float> before = random_bf16(size.rows * size.out, 8);
    const Outputs expected(queue, layer, before, cuda::GemmTiles::portable);
    in_both_orders([&] {
      in_all_tiles(queue, [&](cuda::GemmTiles tiles) {
        const Outputs out(queue, layer, before, tiles);
        bool same = out.plain == expected.plain && out.quantised == expected.quantised;
        // wgmma sums a row's squares in another order and may add to the residual stream in one rounding.
        if (tiles == cuda::GemmTiles::tensor_copies) {
          same = same && same_bits(out.scales, expected.scales) && same_bits(out.squares, expected.squares) &&
                 out.sum == expected.sum;
        }
        if (!same) record_failure(__FILE__, __LINE__, cuda::name(tiles));
      });
    });
  }
  CHECK(queue.finish().ok());
}

}  // namespace
}  // namespace turboclip::test
