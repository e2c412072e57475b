#include "cpu/linear_int8.h"

#include <cmath>
#include <limits>

#include "check.h"
#include "cpu/block_linear.h"
#include "cpu/reference.h"
#include "support.h"

namespace turboclip::test {
namespace {

using cpu::Context;
using cpu::Int8Kernel;
using cpu::Kernels;
using cpu::kInt8Slice;
using cpu::kPanel;
using cpu::ThreadPool;

std::vector<const Int8Kernel*> all_int8_kernels() {
  std::vector<const Int8Kernel*> out{&cpu::portable_int8_kernel()};
  for (const Int8Kernel* kernel : {cpu::avx2_int8_kernel(), cpu::vnni_int8_kernel()}) {
    if (kernel != nullptr) out.push_back(kernel);
  }
  return out;
}

/// Any int8, or the extremes alone.
std::vector<std::int8_t> random_bytes(std::int64_t count, std::uint64_t seed, bool extremes) {
  std::vector<std::int8_t> out;
  for (const float value : random_values(count, seed)) {
    const auto level = static_cast<std::int8_t>(std::floor(value * 128));
    out.push_back(!extremes ? level : level < 0 ? std::int8_t{-128} : std::int8_t{127});
  }
  return out;
}

Int8Blocks random_blocks(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  const auto values = random_values(rows * columns, seed);
  return quantize_int8_blocks(values.data(), rows, columns);
}

TEST("every INT8 kernel sums exactly, for tiles of every height and for -128 against -128") {
  constexpr std::int64_t kStride = 2 * kInt8Slice;
  for (const Int8Kernel* kernel : all_int8_kernels()) {
    for (std::int64_t rows = 1; rows <= kernel->tile_rows; ++rows) {
      for (const bool extremes : {false, true}) {
        auto left = random_bytes(rows * kStride, 1, extremes);
        auto panel = random_bytes(kInt8Slice * kPanel, 2, extremes);
        if (extremes) {  // the largest sums of both signs
          std::fill_n(left.begin(), kInt8Slice, std::int8_t{-128});
          for (std::int64_t k = 0; k < kInt8Slice; ++k) {
            panel[k / 4 * kPanel * 4 + k % 4] = -128;
            panel[k / 4 * kPanel * 4 + 4 + k % 4] = 127;
          }
        }
        std::vector<float> scales(static_cast<std::size_t>(rows), 1.0f);
        std::vector<std::int32_t> sums;
        std::vector<float> expected;
        for (std::int64_t r = 0; r < rows; ++r) {
          std::int32_t row_sum = 0;
          for (std::int64_t k = 0; k < kInt8Slice; ++k) row_sum += left[r * kStride + k];
          sums.push_back(row_sum);
          for (std::int64_t c = 0; c < kPanel; ++c) {
            std::int32_t sum = 0;
            for (std::int64_t k = 0; k < kInt8Slice; ++k) {
              sum += left[r * kStride + k] * panel[(k / 4 * kPanel + c) * 4 + k % 4];
            }
            expected.push_back(static_cast<float>(sum));  // below 2^24, so exact
          }
        }
        std::vector<float> out(expected.size(), 0.0f);
        kernel->tile({left.data(), kStride, scales.data(), sums.data(), 1}, panel.data(), 1.0f, out.data(),
                     kPanel, rows);
        CHECK(out == expected);
      }
    }
  }
}

TEST("activations are quantised alike by every INT8 kernel, to within half a step") {
  for (const std::int64_t count : {1, 7, 64, 127, 128}) {
    const auto x = random_values(count, 3);
    std::vector<std::int8_t> first;
    for (const Int8Kernel* kernel : all_int8_kernels()) {
      std::vector<std::int8_t> q(static_cast<std::size_t>(count));
      float scale = 0;
      std::int32_t sum = kernel->quantize(x.data(), count, q.data(), scale);
      for (std::int64_t i = 0; i < count; ++i) {
        CHECK(std::fabs(q[i] * double{scale} - double{x[i]}) <= 0.500001 * double{scale});
        sum -= q[i];
      }
      CHECK_EQUAL(sum, 0);
      if (first.empty()) first = q;
      CHECK(q == first);
    }
  }
}

TEST("zeros quantise to zeros of scale 1, and what is no number stays none") {
  for (const Int8Kernel* kernel : all_int8_kernels()) {
    std::vector<std::int8_t> q(3, 5);
    float scale = 0;
    const float zeros[] = {0.0f, -0.0f, 1e-40f};
    CHECK_EQUAL(kernel->quantize(zeros, 3, q.data(), scale), 0);
    CHECK(q == std::vector<std::int8_t>(3, 0) && scale == 1.0f);
    for (const float wrong :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      const float values[] = {1.0f, wrong, -1.0f};
      kernel->quantize(values, 3, q.data(), scale);
      CHECK(!std::isfinite(scale));
    }
  }
}

struct Case {
  std::int64_t rows, in, out;
};
// Around every edge of tiles, panels (16), row blocks (96), slices and weight blocks (128).
constexpr Case kCases[] = {{1, 1, 1}, {5, 130, 17}, {16, 128, 128}, {97, 129, 129}, {100, 384, 300}};

TEST("an INT8 linear layer equals its quantised values' product, and is near the unquantised one") {
  ThreadPool pool(2);
  for (const Kernels* kernels : all_kernels()) {
    const Context context{pool, *kernels};
    for (const Case& size : kCases) {
      const auto x = random_values(size.rows * size.in, 4);
      const auto w = random_values(size.out * size.in, 5);
      const auto bias = random_values(size.out, 6);
      const Int8Blocks blocks = quantize_int8_blocks(w.data(), size.out, size.in);
      const cpu::Int8Rows rows = cpu::quantize_rows(context, x.data(), size.rows, size.in);
      std::vector<double> quantised;
      std::vector<double> plain;
      for (std::int64_t r = 0; r < size.rows; ++r) {
        for (std::int64_t o = 0; o < size.out; ++o) {
          double sum = bias[o];
          double plain_sum = bias[o];
          for (std::int64_t i = 0; i < size.in; ++i) {
            const std::int64_t slice = i / kInt8Slice;
            sum += double{rows.scales[r * rows.slices + slice]} *
                   double{blocks.scales[o / kInt8Block * rows.slices + slice]} *
                   rows.values[r * rows.slices * kInt8Slice + i] * blocks.values[o * size.in + i];
            plain_sum += double{x[r * size.in + i]} * double{w[o * size.in + i]};
          }
          quantised.push_back(sum);
          plain.push_back(plain_sum);
        }
      }
      const auto weights = cpu::pack_int8_linear(blocks, bias);
      std::vector<float> y(quantised.size());
      cpu::linear(context, x.data(), size.rows, weights, y.data());
      CHECK(relative_error(y, quantised) < 1e-6);
      CHECK(relative_error(y, plain) < 2e-2);
      const auto gate = random_values(size.out, 7);
      std::vector<double> gated;
      for (std::size_t i = 0; i < quantised.size(); ++i) {
        gated.push_back(1 + quantised[i] * double{gate[i % static_cast<std::size_t>(size.out)]});
      }
      y.assign(y.size(), 1.0f);
      cpu::linear_add(context, x.data(), size.rows, weights, y.data(), gate.data());
      CHECK(relative_error(y, gated) < 1e-6);
    }
  }
}

TEST("an INT8 product has the same bytes on every instruction set and on any number of threads") {
  const auto x = random_values(150 * 300, 8);
  const auto weights = cpu::pack_int8_linear(random_blocks(200, 300, 9), random_values(200, 10));
  std::vector<float> first;
  for (const Kernels* kernels : all_kernels()) {
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      std::vector<float> y(150 * 200);
      cpu::linear({pool, *kernels}, x.data(), 150, weights, y.data());
      if (first.empty()) first = y;
      CHECK(y == first);
    }
  }
}

TEST("blocks quantise as the reference does: amax / 128, halves to even, 128 clamped to 127") {
  // One block whose step is exactly 1: the product with 128 / amax is exact.
  const float x[] = {-128.0f, 0.5f, 1.5f, -2.5f, 126.5f, 127.5f, 128.0f, 0.0f};
  const Int8Blocks blocks = quantize_int8_blocks(x, 2, 4);
  CHECK(blocks.values == std::vector<std::int8_t>({-128, 0, 2, -2, 126, 127, 127, 0}));
  CHECK(blocks.scales == std::vector<float>({1.0f}));
  const std::vector<float> zeros(130 * 129, 0.0f);
  const Int8Blocks none = quantize_int8_blocks(zeros.data(), 130, 129);
  CHECK(none.scales == std::vector<float>(4, 1e-8f / 128.0f));
  CHECK(none.values == std::vector<std::int8_t>(zeros.size(), 0));
}

}  // namespace
}  // namespace turboclip::test
