#include "cuda/gemm_few_rows.h"

#include "check.h"
#include "cuda/rows.h"
#include "engine/quant/int8_blocks.h"

namespace turboclip::test {
namespace {

struct Case {
  std::int64_t rows, in, out;
};
// Around the rows of each kernel (32, 64, 112, 128) and where a second tile of rows begins; less than a tile
// of 256 columns, one, and several that are cut into unequal shares.
constexpr Case kCases[] = {{1, 128, 128},   {31, 256, 384},  {32, 384, 256},  {33, 128, 896},
                           {64, 128, 256},  {65, 128, 128},  {112, 128, 256}, {113, 256, 128},
                           {127, 128, 128}, {128, 640, 384}, {129, 128, 256}, {300, 128, 128}};

/// x w^T, summed in double precision.
std::vector<float> product(const std::vector<float>& x, const std::vector<float>& w, const Case& size) {
  std::vector<float> y;
  for (std::int64_t r = 0; r < size.rows; ++r) {
    for (std::int64_t c = 0; c < size.out; ++c) {
      double sum = 0;
      for (std::int64_t k = 0; k < size.in; ++k) {
        sum += static_cast<double>(x[static_cast<std::size_t>(r * size.in + k)]) *
               w[static_cast<std::size_t>(c * size.in + k)];
      }
      y.push_back(static_cast<float>(sum));
    }
  }
  return y;
}

/// A packed matrix of either type, and the sums of a product with it.
struct Layer {
  cuda::DeviceArray<unsigned char> values;
  cuda::DeviceArray<float> scales;
  cuda::DeviceArray<float> sums;
  cuda::PackedWeight weight{};

  void pack(cuda::Queue& queue, const void* matrix, std::int64_t out, std::int64_t in,
            std::int64_t value_bytes) {
    values.allocate(queue, out * in * value_bytes);
    cuda::pack_weight(queue, matrix, out, in * value_bytes, values.data());
    weight = {values.data(), scales.data(), out, in};
  }

  /// The parts added up on the host, in their order.
  template <class Rows>
  std::vector<float> multiply(cuda::Queue& queue, const Rows& x) {
    const cuda::Shares shares =
        cuda::few_rows_shares(queue.device(), x.rows, weight.out, weight.in, weight.scales != nullptr);
    sums.allocate(queue, shares.most_parts() * x.rows * weight.out);
    const cuda::PartialSums left = cuda::multiply_few_rows(queue, x, weight, sums.data());
    CHECK_EQUAL(left.rows, x.rows);
    CHECK_EQUAL(left.out, weight.out);
    const std::vector<float> parts = sums.download(queue);
    std::vector<float> y;
    for (std::int64_t r = 0; r < x.rows; ++r) {
      for (std::int64_t c = 0; c < weight.out; ++c) {
        float sum = 0;
        for (unsigned p = 0; p < left.shares.parts(static_cast<unsigned>(c) / cuda::kFewRowsColumns); ++p) {
          sum += parts[static_cast<std::size_t>((p * x.rows + r) * weight.out + c)];
        }
        y.push_back(sum);
      }
    }
    return y;
  }
};

TEST(
    "a product of few rows in bfloat16 is the exact one at every edge of its tiles and shares, the same "
    "twice") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const Case& size : kCases) {
    const std::vector<float> x = random_bf16(size.rows * size.in, 21);
    const std::vector<float> w = random_bf16(size.out * size.in, 22);
    cuda::DeviceArray<cuda::Bf16> device_x, device_w;
    device_x.upload(queue, to_bf16(x));
    device_w.upload(queue, to_bf16(w));
    Layer layer;
    layer.pack(queue, device_w.data(), size.out, size.in, 2);
    const cuda::Bf16Rows rows{device_x.data(), size.rows, size.in};
    std::vector<float> first;
    in_both_orders([&] {
      const std::vector<float> y = layer.multiply(queue, rows);
      if (first.empty()) first = y;
      CHECK(y == first);
    });
    CHECK(relative_error(first, product(x, w, size)) < 1e-6);
    CHECK(queue.finish().ok());
  }
}

TEST("a product of few rows in INT8 is the exact one of what its operands stand for, the same twice") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const Case& size : kCases) {
    const QuantizedRows x = random_rows(size.rows, size.in, 23);
    const std::vector<std::int8_t> w = random_int8(size.out * size.in, 24);
    std::vector<float> w_scales = random_values(size.out / 128 * (size.in / 128), 25);
    for (float& scale : w_scales) scale = 0.02f * (1.5f + scale);
    cuda::DeviceArray<std::int8_t> device_x, device_w;
    cuda::DeviceArray<float> x_scales;
    device_x.upload(queue, x.values);
    x_scales.upload(queue, x.scales);
    device_w.upload(queue, w);
    Layer layer;
    layer.scales.upload(queue, w_scales);
    layer.pack(queue, device_w.data(), size.out, size.in, 1);
    const cuda::Int8Rows rows{device_x.data(), x_scales.data(), size.rows, size.in};
    std::vector<float> first;
    in_both_orders([&] {
      const std::vector<float> y = layer.multiply(queue, rows);
      if (first.empty()) first = y;
      CHECK(y == first);
    });
    std::vector<float> w_floats;
    for (std::int64_t i = 0; i < size.out * size.in; ++i) {
      const std::int64_t block = i / size.in / 128 * (size.in / 128) + i % size.in / 128;
      w_floats.push_back(static_cast<float>(w[static_cast<std::size_t>(i)]) *
                         w_scales[static_cast<std::size_t>(block)]);
    }
    CHECK(relative_error(first, product(x.to_float(), w_floats, size)) < 1e-6);
    CHECK(queue.finish().ok());
  }
}

TEST("a weight that is quantised on the device is that of a -quant checkpoint, value by value") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  constexpr std::int64_t kRows = 256;
  constexpr std::int64_t kColumns = 384;
  std::vector<float> w = random_bf16(kRows * kColumns, 26);
  std::fill_n(w.begin(), 128, 0.0f);
  for (std::int64_t r = 128; r < 256; ++r)
    std::fill_n(w.begin() + r * kColumns, 128, 0.0f);  // a block of zeros
  w[5] = 3.0f;                                         // the largest of its block, which is -128 or 127
  w[200] = -4.0f;
  const Int8Blocks expected = quantize_int8_blocks(w.data(), kRows, kColumns);
  cuda::DeviceArray<cuda::Bf16> matrix;
  cuda::DeviceArray<std::int8_t> values;
  cuda::DeviceArray<float> scales;
  matrix.upload(queue, to_bf16(w));
  values.allocate(queue, kRows * kColumns);
  scales.allocate(queue, kRows / 128 * (kColumns / 128));
  cuda::quantize_weight(queue, matrix.data(), kRows, kColumns, values.data(), scales.data());
  CHECK(values.download(queue) == expected.values);
  CHECK(scales.download(queue) == expected.scales);
  CHECK(queue.finish().ok());
}

TEST("shares cover every block of K once, of equal length but for one, and know who owns which") {
  for (const unsigned tiles : {1u, 2u, 5u, 48u}) {
    for (const unsigned depth : {1u, 2u, 64u}) {
      for (const unsigned count : {1u, 3u, 4u, 33u, 132u}) {
        if (count > tiles * depth) continue;
        const cuda::Shares shares{depth, tiles * depth, count};
        unsigned least = shares.total;
        unsigned most = 0;
        for (unsigned share = 0; share < count; ++share) {
          const unsigned length = shares.begin(share + 1) - shares.begin(share);
          least = std::min(least, length);
          most = std::max(most, length);
          for (unsigned block = shares.begin(share); block < shares.begin(share + 1); ++block) {
            CHECK_EQUAL(shares.owner(block), share);
          }
        }
        CHECK(least >= 1 && most <= least + 1);
        CHECK_EQUAL(shares.begin(0), 0u);
        CHECK_EQUAL(shares.begin(count), shares.total);
        unsigned parts = 0;
        for (unsigned tile = 0; tile < tiles; ++tile) parts = std::max(parts, shares.parts(tile));
        CHECK_EQUAL(shares.most_parts(), parts);
      }
    }
  }
}

}  // namespace
}  // namespace turboclip::test
