// The passes and the attention between umT5's linear layers, on sums that lie in parts.
#include <cmath>

#include "check.h"
#include "cuda/gemm_few_rows.h"
#include "cuda/rows.h"
#include "cuda/umt5_attention.h"
#include "cuda/umt5_passes.h"

namespace turboclip::test {
namespace {

/// Sums [rows, out] that lie in parts, cut as the products cut theirs, and what they add up to.
struct Sums {
  std::vector<float> whole;
  cuda::DeviceArray<float> parts;
  cuda::PartialSums view;

  Sums(cuda::Queue& queue, std::int64_t rows, std::int64_t out, float size, std::uint64_t seed) {
    const auto tiles = static_cast<unsigned>(cuda::ceil_div(out, cuda::kFewRowsColumns));
    constexpr unsigned kDepth = 6;
    const cuda::Shares shares{kDepth, kDepth * tiles, std::min(kDepth * tiles, 4u)};
    std::vector<float> values = random_values(shares.most_parts() * rows * out, seed);
    for (float& value : values) value *= size;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < out; ++c) {
        float sum = 0;
        for (unsigned p = 0; p < shares.parts(static_cast<unsigned>(c) / cuda::kFewRowsColumns); ++p) {
          sum += values[static_cast<std::size_t>((p * rows + r) * out + c)];
        }
        whole.push_back(sum);
      }
    }
    parts.upload(queue, values);
    view = {parts.data(), rows, out, shares};
  }
};

/// Rows for a product, in both forms.
struct Out {
  std::int64_t rows, width;
  cuda::DeviceArray<cuda::Bf16> bf16;
  cuda::DeviceArray<std::int8_t> int8;
  cuda::DeviceArray<float> scales;

  Out(cuda::Queue& queue, std::int64_t count, std::int64_t columns) : rows(count), width(columns) {
    bf16.allocate(queue, rows * width);
    int8.allocate(queue, rows * width);
    scales.allocate(queue, width / 128 * cuda::scale_stride(rows));
  }
  cuda::TextRows as_bf16() { return {bf16.data(), nullptr, nullptr}; }
  cuda::TextRows as_int8() { return {nullptr, int8.data(), scales.data()}; }
  void check(cuda::Queue& queue, const std::vector<float>& expected, double bf16_error, double int8_error) {
    CHECK(relative_error(from_bf16(bf16.download(queue)), expected) < bf16_error);
    const QuantizedRows quantised{rows, width, int8.download(queue), download_scales(queue, scales, rows)};
    CHECK(relative_error(quantised.to_float(), expected) < int8_error);
  }
};

TEST(
    "the residual stream takes in what a product left in parts, and its RMS norm is the exact one in three "
    "forms") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  struct Case {
    std::int64_t rows, width;
  };
  // A part of a block's threads, one turn of all, and more than one.
  for (const Case& size : {Case{1, 128}, Case{5, 640}, Case{3, 4096}, Case{2, 4224}}) {
    std::vector<float> x = random_values(size.rows * size.width, 31);
    const std::vector<float> weight = random_values(size.width, 32);
    const Sums sums(queue, size.rows, size.width, 2, 33);
    std::vector<float> expected;
    for (std::int64_t r = 0; r < size.rows; ++r) {
      double squares = 0;
      for (std::int64_t c = 0; c < size.width; ++c) {
        float& value = x[static_cast<std::size_t>(r * size.width + c)];
        value += sums.whole[static_cast<std::size_t>(r * size.width + c)];
        squares += static_cast<double>(value) * value;
      }
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(size.width) + 1e-6);
      for (std::int64_t c = 0; c < size.width; ++c) {
        expected.push_back(static_cast<float>(x[static_cast<std::size_t>(r * size.width + c)] * inverse *
                                              weight[static_cast<std::size_t>(c)]));
      }
    }
    cuda::DeviceArray<float> stream, gain, exact;
    gain.upload(queue, weight);
    exact.allocate(queue, size.rows * size.width);
    Out out(queue, size.rows, size.width);
    in_both_orders([&] {
      // Once with the sums, and twice more of what is then there.
      stream.upload(queue, random_values(size.rows * size.width, 31));
      cuda::add_and_norm(queue, sums.view, stream.data(), size.rows, size.width, gain.data(), out.as_bf16());
      CHECK(relative_error(stream.download(queue), x) < 1e-6);
      cuda::add_and_norm(queue, {}, stream.data(), size.rows, size.width, gain.data(), out.as_int8());
      cuda::add_and_norm(queue, {}, stream.data(), size.rows, size.width, gain.data(), exact.data());
      CHECK(relative_error(stream.download(queue), x) < 1e-6);
      CHECK(relative_error(exact.download(queue), expected) < 1e-5);
      out.check(queue, expected, 3e-3, 1e-2);
      // In place.
      cuda::add_and_norm(queue, {}, stream.data(), size.rows, size.width, gain.data(), stream.data());
      CHECK(stream.download(queue) == exact.download(queue));
    });
    CHECK(queue.finish().ok());
  }
}

TEST("GELU of the gate times up is the CPU engine's, of sums in parts") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  struct Case {
    std::int64_t rows, ffn;
  };
  for (const Case& size : {Case{1, 128}, Case{4, 384}, Case{3, 2176}}) {
    const Sums sums(queue, size.rows, 2 * size.ffn, 1, 34);
    std::vector<float> expected;
    for (std::int64_t r = 0; r < size.rows; ++r) {
      const float* row = sums.whole.data() + r * 2 * size.ffn;
      for (std::int64_t c = 0; c < size.ffn; ++c) {
        const double g = row[c];
        const double gelu = 0.5 * g * (1 + std::tanh(0.7978845608028654 * (g + 0.044715 * g * g * g)));
        expected.push_back(static_cast<float>(gelu * row[size.ffn + c]));
      }
    }
    Out out(queue, size.rows, size.ffn);
    cuda::gate(queue, sums.view, size.ffn, out.as_bf16());
    cuda::gate(queue, sums.view, size.ffn, out.as_int8());
    out.check(queue, expected, 4e-3, 2e-2);  // products have a long tail
    CHECK(queue.finish().ok());
  }
}

/// Softmax attention in double precision, of q, k and v rounded to bfloat16. bias: [heads][kDistances].
std::vector<float> attention(const std::vector<float>& projections, std::int64_t rows,
                             const cuda::TextHeads& heads, const std::vector<float>& bias) {
  const std::int64_t channels = heads.heads * heads.width;
  const std::vector<float> rounded = from_bf16(to_bf16(projections));
  std::vector<float> out(static_cast<std::size_t>(rows * channels));
  for (std::int64_t head = 0; head < heads.heads; ++head) {
    for (std::int64_t query = 0; query < rows; ++query) {
      const float* q = rounded.data() + query * 3 * channels + head * heads.width;
      std::vector<double> weights;
      double largest = -1e300;
      for (std::int64_t key = 0; key < rows; ++key) {
        const float* k = rounded.data() + key * 3 * channels + channels + head * heads.width;
        double score = bias[static_cast<std::size_t>(head * cuda::kDistances + key - query + 511)];
        for (std::int64_t i = 0; i < heads.width; ++i) score += static_cast<double>(q[i]) * k[i];
        weights.push_back(score);
        largest = std::max(largest, score);
      }
      double total = 0;
      for (double& weight : weights) total += weight = std::exp(weight - largest);
      for (std::int64_t i = 0; i < heads.width; ++i) {
        double sum = 0;
        for (std::int64_t key = 0; key < rows; ++key) {
          sum +=
              weights[static_cast<std::size_t>(key)] *
              rounded[static_cast<std::size_t>(key * 3 * channels + 2 * channels + head * heads.width + i)];
        }
        out[static_cast<std::size_t>(query * channels + head * heads.width + i)] =
            static_cast<float>(sum / total);
      }
    }
  }
  return out;
}

TEST(
    "attention with a bias by distance is the exact one at every edge of its tiles, with both widths of "
    "heads") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  struct Case {
    std::int64_t rows;
    cuda::TextHeads heads;
  };
  for (const Case& size : {Case{1, {2, 64}}, Case{16, {4, 32}}, Case{63, {4, 64}}, Case{64, {8, 32}},
                           Case{65, {2, 64}}, Case{129, {4, 32}}, Case{512, {2, 64}}}) {
    const std::int64_t channels = size.heads.heads * size.heads.width;
    const Sums sums(queue, size.rows, 3 * channels, 1, 35);
    std::vector<float> bias = random_values(size.heads.heads * cuda::kDistances, 36);
    for (float& value : bias) value *= 3;
    std::vector<float> exponents = bias;
    for (float& value : exponents) value *= 1.44269504f;
    cuda::DeviceArray<float> device_bias;
    device_bias.upload(queue, exponents);
    Out out(queue, size.rows, channels);
    in_both_orders([&] {
      cuda::text_attention(queue, sums.view, size.heads, device_bias.data(), out.as_bf16());
      cuda::text_attention(queue, sums.view, size.heads, device_bias.data(), out.as_int8());
    });
    out.check(queue, attention(sums.whole, size.rows, size.heads, bias), 5e-3, 1.2e-2);
    CHECK(queue.finish().ok());
  }
}

TEST("a value that is no number stays one through the passes between linear layers") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  std::vector<float> x = random_values(2 * 128, 37);
  x[130] = std::numeric_limits<float>::quiet_NaN();
  cuda::DeviceArray<float> stream, gain;
  stream.upload(queue, x);
  gain.upload(queue, std::vector<float>(128, 1.0f));
  Out out(queue, 2, 128);
  cuda::add_and_norm(queue, {}, stream.data(), 2, 128, gain.data(), out.as_int8());
  const std::vector<float> scales = download_scales(queue, out.scales, 2);
  CHECK(!std::isnan(scales[0]));
  CHECK(std::isnan(scales[1]));
}

}  // namespace
}  // namespace turboclip::test
