#include <array>
#include <stdexcept>
#include <utility>

#include "cases.h"
#include "cpu/attention.h"
#include "cpu/conv.h"
#include "cpu/linear.h"
#include "demo_models.h"
#include "engine/text.h"

namespace turboclip::bench {
namespace {

using cpu::Context;

constexpr double kTolerance = 1e-5;
constexpr std::int64_t kCheckedRows = 16;

struct LinearCase {
  const char* what;
  std::int64_t rows, in, out;
};
constexpr LinearCase kLinear[] = {
    {"linear, demo q", 1'728, 256, 256},       {"linear, demo ffn.0", 1'728, 256, 1'024},
    {"linear, demo ffn.2", 1'728, 1'024, 256}, {"linear, 1.3B q", 1'024, 1'536, 1'536},
    {"linear, 1.3B ffn.0", 512, 1'536, 8'960}, {"linear, one row", 1, 1'536, 8'960}};

Row time_linear(const Context& context, const LinearCase& size) {
  const auto x = random_values(size.rows * size.in, 1);
  const auto w = random_values(size.out * size.in, 2);
  const auto bias = random_values(size.out, 3);
  const auto weights = cpu::pack_linear(w.data(), size.out, size.in, bias);
  std::vector<float> y(static_cast<std::size_t>(size.rows * size.out));
  const auto run = [&] { cpu::linear(context, x.data(), size.rows, weights, y.data()); };
  run();
  // Rows spread over the whole result: all of a large product would take longer to check than to time.
  std::vector<float> some;
  std::vector<double> expected;
  for (std::int64_t i = 0; i < std::min(size.rows, kCheckedRows); ++i) {
    const std::int64_t row = i * size.rows / std::min(size.rows, kCheckedRows);
    for (std::int64_t o = 0; o < size.out; ++o) {
      double sum = bias[o];
      for (std::int64_t k = 0; k < size.in; ++k)
        sum += double{x[row * size.in + k]} * double{w[o * size.in + k]};
      expected.push_back(sum);
      some.push_back(y[row * size.out + o]);
    }
  }
  return timed_if_right({.what = concat(size.what, " [", size.rows, ", ", size.in, "] -> ", size.out),
                         .kernels = context.kernels.name,
                         .error = relative_error(some, expected),
                         .tolerance = kTolerance,
                         .operations = 2.0 * static_cast<double>(size.rows * size.in * size.out)},
                        run);
}

struct ConvCase {
  const char* what;
  std::int64_t frames, height, width, in, out;
};
constexpr ConvCase kConv[] = {{"conv 3x3x3, demo last level", 4, 192, 256, 16, 16},
                              {"conv 3x3x3, demo first level", 1, 24, 32, 64, 64},
                              {"conv 3x3x3, demo head", 4, 192, 256, 16, 3},
                              {"conv 3x3x3, official last level", 4, 60, 104, 96, 96}};

Row time_conv(const Context& context, const ConvCase& size) {
  const auto w = random_values(size.out * size.in * 27, 4);
  const auto bias = random_values(size.out, 5);
  const ModelFile file("conv",
                       {{"conv.weight", {size.out, size.in, 3, 3, 3}, w}, {"conv.bias", {size.out}, bias}});
  Result<cpu::CausalConv> conv = cpu::CausalConv::load(file.checkpoint(), "conv", size.in);
  if (!conv) throw std::runtime_error(conv.error().message);
  cpu::CausalConv::Input input = conv->make_input(size.frames, size.height, size.width);
  for (std::int64_t f = 0; f < size.frames; ++f) {
    for (std::int64_t row = 0; row < size.height; ++row) {
      const auto values =
          random_values(size.width * size.in, static_cast<std::uint64_t>(f * size.height + row));
      std::copy(values.begin(), values.end(), input.frame(f) + row * input.row_stride());
    }
  }
  cpu::Frames y = conv->run(context, input);
  std::vector<float> some;
  std::vector<double> expected;
  for (std::int64_t i = 0; i < kCheckedRows; ++i) {
    // Pixels on all borders and inside; the last frame sees two frames before it.
    const std::int64_t row = i % 4 * (size.height - 1) / 3;
    const std::int64_t column = i / 4 * (size.width - 1) / 3;
    for (std::int64_t o = 0; o < size.out; ++o) {
      double sum = bias[o];
      for (std::int64_t tap = 0; tap < 27; ++tap) {
        const float* pixel = input.frame(size.frames - 3 + tap / 9) +
                             (row + tap / 3 % 3 - 1) * input.row_stride() + (column + tap % 3 - 1) * size.in;
        for (std::int64_t c = 0; c < size.in; ++c)
          sum += double{pixel[c]} * double{w[(o * size.in + c) * 27 + tap]};
      }
      expected.push_back(sum);
      some.push_back(
          y.values[(((size.frames - 1) * size.height + row) * size.width + column) * size.out + o]);
    }
  }
  const double pixels = static_cast<double>(size.frames * size.height * size.width);
  return timed_if_right({.what = concat(size.what, " ", size.frames, "x", size.height, "x", size.width, ", ",
                                        size.in, " -> ", size.out),
                         .kernels = context.kernels.name,
                         .error = relative_error(some, expected),
                         .tolerance = kTolerance,
                         .operations = 2.0 * 27 * pixels * static_cast<double>(size.in * size.out)},
                        [&] { y = conv->run(context, input); });
}

Row time_attention(const Context& context, std::int64_t length) {
  constexpr std::int64_t kWidth = 128;
  const auto q = random_values(length * kWidth, 6);
  const auto k = random_values(length * kWidth, 7);
  const auto v = random_values(length * kWidth, 8);
  const cpu::PackedKeys keys =
      cpu::pack_keys({k.data(), length, kWidth, kWidth}, {v.data(), length, kWidth, kWidth});
  std::vector<float> out(q.size());
  const auto run = [&] {
    context.pool.for_each(cpu::ceil_div(length, cpu::kQueryBlock), [&](std::int64_t b) {
      cpu::AttentionBlock block;
      block.q = q.data() + b * cpu::kQueryBlock * kWidth;
      block.q_stride = kWidth;
      block.rows = std::min(cpu::kQueryBlock, length - b * cpu::kQueryBlock);
      block.scale = 1 / std::sqrt(128.0f);
      block.out = out.data() + b * cpu::kQueryBlock * kWidth;
      block.out_stride = kWidth;
      cpu::attend(context.kernels, keys, block);
    });
  };
  run();
  std::vector<float> some;
  std::vector<double> expected;
  for (std::int64_t i = 0; i < kCheckedRows; ++i) {
    const std::int64_t row = i * (length - 1) / (kCheckedRows - 1);
    std::vector<double> mixed(kWidth);
    double total = 0;
    for (std::int64_t key = 0; key < length; ++key) {
      double score = 0;
      for (std::int64_t d = 0; d < kWidth; ++d)
        score += double{q[row * kWidth + d]} * double{k[key * kWidth + d]};
      const double weight = std::exp(score / std::sqrt(128.0));
      total += weight;
      for (std::int64_t d = 0; d < kWidth; ++d) mixed[d] += weight * v[key * kWidth + d];
    }
    for (const double value : mixed) expected.push_back(value / total);
    some.insert(some.end(), out.begin() + row * kWidth, out.begin() + (row + 1) * kWidth);
  }
  return timed_if_right({.what = concat("attention, one head, ", length, " tokens"),
                         .kernels = context.kernels.name,
                         .error = relative_error(some, expected),
                         .tolerance = kTolerance,
                         .operations = 4.0 * kWidth * static_cast<double>(length * length)},
                        run);
}

}  // namespace

std::vector<Row> kernel_rows(const Context& context, double peak) {
  std::vector<Row> rows;
  for (const LinearCase& size : kLinear) rows.push_back(time_linear(context, size));
  for (const ConvCase& size : kConv) rows.push_back(time_conv(context, size));
  rows.push_back(time_attention(context, 1'728));
  for (Row& row : rows) row.peak = peak;
  return rows;
}

}  // namespace turboclip::bench
