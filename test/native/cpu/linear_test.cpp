#include "cpu/linear.h"

#include <cmath>

#include "check.h"
#include "cpu/norm.h"
#include "cpu/reference.h"

namespace turboclip::test {
namespace {

using cpu::Context;
using cpu::Kernels;
using cpu::ThreadPool;

struct Case {
  std::int64_t rows, in, out;
};
// Around every edge of tiles (2, 6, 12 rows), panels (16), row blocks (192) and depth blocks (192).
constexpr Case kCases[] = {{1, 1, 1},      {1, 300, 16},   {5, 17, 3},     {12, 192, 128}, {17, 193, 129},
                           {191, 64, 150}, {193, 191, 31}, {385, 384, 47}, {0, 16, 16}};

TEST("a linear layer equals its sum in float64, with every kernel set and at every edge") {
  ThreadPool pool(2);
  for (const Kernels* kernels : all_kernels()) {
    const Context context{pool, *kernels};
    for (const Case& size : kCases) {
      const auto x = random_values(size.rows * size.in, 1);
      const auto w = random_values(size.out * size.in, 2);
      const auto bias = random_values(size.out, 3);
      const auto gate = random_values(size.out, 4);
      const auto before = random_values(size.rows * size.out, 5);
      std::vector<double> plain(before.size());
      std::vector<double> gated(before.size());
      for (std::int64_t r = 0; r < size.rows; ++r) {
        for (std::int64_t o = 0; o < size.out; ++o) {
          double sum = bias[o];
          for (std::int64_t i = 0; i < size.in; ++i)
            sum += double{x[r * size.in + i]} * double{w[o * size.in + i]};
          plain[r * size.out + o] = sum;
          gated[r * size.out + o] = before[r * size.out + o] + sum * gate[o];
        }
      }
      const auto weights = cpu::pack_linear(w.data(), size.out, size.in, bias);
      std::vector<float> y(before.size());
      cpu::linear(context, x.data(), size.rows, weights, y.data());
      CHECK(size.rows == 0 || relative_error(y, plain) < 2e-6);
      y = before;
      cpu::linear_add(context, x.data(), size.rows, weights, y.data(), gate.data());
      CHECK(size.rows == 0 || relative_error(y, gated) < 2e-6);
    }
  }
}

TEST("one thread and three give the same bytes") {
  const auto x = random_values(150 * 300, 1);
  const auto w = random_values(200 * 300, 2);
  const auto weights = cpu::pack_linear(w.data(), 200, 300, {});
  std::vector<float> results[2];
  for (int i = 0; i < 2; ++i) {
    ThreadPool pool(i == 0 ? 1 : 3);
    results[i].resize(150 * 200);
    cpu::linear({pool, cpu::best_kernels()}, x.data(), 150, weights, results[i].data(),
                cpu::Activation::gelu);
  }
  CHECK(results[0] == results[1]);
}

TEST("the modulated layer norm survives a mean that is large against its spread") {
  ThreadPool pool(1);
  const std::int64_t width = 300;
  auto x = random_values(2 * width, 6);
  for (float& value : x) value += 100.0f;
  const auto gain = random_values(width, 7);
  const auto shift = random_values(width, 8);
  std::vector<double> expected;
  for (std::int64_t r = 0; r < 2; ++r) {
    double mean = 0;
    double variance = 0;
    for (std::int64_t i = 0; i < width; ++i) mean += x[r * width + i] / double(width);
    for (std::int64_t i = 0; i < width; ++i) variance += std::pow(x[r * width + i] - mean, 2) / double(width);
    for (std::int64_t i = 0; i < width; ++i) {
      expected.push_back((x[r * width + i] - mean) / std::sqrt(variance + 1e-6) * (1 + double{gain[i]}) +
                         shift[i]);
    }
  }
  for (const Kernels* kernels : all_kernels()) {
    std::vector<float> out(x.size());
    cpu::modulated_layer_norm({pool, *kernels}, {x.data(), 2, width}, gain.data(), shift.data(), out.data());
    CHECK(relative_error(out, expected) < 1e-5);
  }
}

TEST("the rotary embedding keeps lengths and turns by time, height and width as their positions say") {
  ThreadPool pool(1);
  const Context context{pool, cpu::best_kernels()};
  const cpu::RotaryTable table = cpu::make_rotary_table(2, 3, 4);
  std::vector<float> x(2 * 3 * 4 * 128, 0.0f);
  for (std::size_t i = 0; i < x.size(); i += 2) x[i] = 1;
  cpu::apply_rotary(context, {x.data(), 24, 128}, table);
  const std::int64_t token = 1 * 12 + 2 * 4 + 3;  // time 1, height 2, width 3
  const auto angle = [&](std::int64_t pair) {
    return std::atan2(x[token * 128 + 2 * pair + 1], x[token * 128 + 2 * pair]);
  };
  CHECK(std::fabs(angle(0) - 1.0) < 1e-6);
  CHECK(std::fabs(angle(21) - std::pow(10'000.0, -21.0 / 22)) < 1e-6);
  CHECK(std::fabs(angle(22) - 2.0) < 1e-6);
  CHECK(std::fabs(angle(43) - 3.0) < 1e-6);
  CHECK(std::fabs(angle(63) - 3 * std::pow(10'000.0, -20.0 / 21)) < 1e-6);
}

}  // namespace
}  // namespace turboclip::test
