#include <cmath>
#include <vector>

#include "check.h"
#include "cpu/reference.h"

namespace turboclip::test {
namespace {

using cpu::Kernels;
using cpu::kPanel;

/// Every size of tile that a kernel set takes: rows, panels, segments.
template <class Body>
void for_tile_sizes(const Kernels& kernels, const Body& body) {
  for (std::int64_t rows = 1; rows <= kernels.tile_rows; ++rows) {
    for (std::int64_t panels = 1; panels <= kernels.tile_panels; ++panels) {
      for (const std::int64_t segments : {1, 3}) body(rows, panels, segments);
    }
  }
}

TEST("every kernel set multiplies tiles of every height and width, over one segment and over several") {
  for (const Kernels* kernels : all_kernels()) {
    for_tile_sizes(*kernels, [&](std::int64_t rows, std::int64_t panels, std::int64_t segments) {
      const std::int64_t depth = 37;
      const std::int64_t stride = 41;
      const std::int64_t columns = panels * kPanel;
      const std::int64_t panel_stride = segments * depth * kPanel + 5;
      const auto left = random_values(segments * kernels->tile_rows * stride, 1);
      const auto right = random_values(panels * panel_stride, 2);
      std::vector<const float*> pointers;
      for (std::int64_t s = 0; s < segments; ++s) {
        pointers.push_back(left.data() + s * kernels->tile_rows * stride);
      }
      for (const bool accumulate : {false, true}) {
        std::vector<float> out(static_cast<std::size_t>(rows * columns), 1.0f);
        std::vector<double> expected(out.size(), accumulate ? 1.0 : 0.0);
        for (std::int64_t s = 0; s < segments; ++s) {
          for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t k = 0; k < depth; ++k) {
              for (std::int64_t c = 0; c < columns; ++c) {
                const float factor = right[c / kPanel * panel_stride + (s * depth + k) * kPanel + c % kPanel];
                expected[r * columns + c] += double{pointers[s][r * stride + k]} * double{factor};
              }
            }
          }
        }
        kernels->tile({pointers.data(), segments, depth, stride}, {right.data(), panels, panel_stride},
                      out.data(), columns, rows, accumulate);
        CHECK(relative_error(out, expected) < 1e-6);
      }
    });
  }
}

TEST("exp is within 2e-7 from -87 to 88 and clamped, never infinite, outside") {
  for (const Kernels* kernels : all_kernels()) {
    for (double x = -87; x < 88; x += 0.0131) {
      std::vector<float> row(kPanel, static_cast<float>(x));
      kernels->exp_row(row.data(), kPanel, 1.0f, 0.0f);
      const double expected = std::exp(static_cast<double>(static_cast<float>(x)));
      CHECK(std::fabs(row[0] / expected - 1) < 2e-7);
    }
    std::vector<float> row(kPanel, -1e30f);
    row[1] = 1e30f;
    const float total = kernels->exp_row(row.data(), kPanel, 1.0f, 0.0f);
    CHECK(std::isfinite(total));
    CHECK(row[0] < 1e-37f);
  }
}

TEST("GELU and SiLU follow their formulas at every row length around a vector") {
  for (const Kernels* kernels : all_kernels()) {
    for (const std::int64_t count : {1, 3, 7, 8, 15, 16, 17, 31, 100}) {
      const auto x = random_values(count, 3);
      std::vector<float> gelu(x);
      std::vector<float> silu(x);
      std::vector<double> gelu_expected;
      std::vector<double> silu_expected;
      for (std::int64_t i = 0; i < count; ++i) {
        gelu[i] = silu[i] = x[i] * 8;
        const double v = gelu[i];
        gelu_expected.push_back(0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))));
        silu_expected.push_back(v / (1 + std::exp(-v)));
      }
      kernels->gelu(gelu.data(), count);
      kernels->silu(silu.data(), count);
      // Against the argument's size, not the result's: far down the tail the result is next to nothing.
      for (std::int64_t i = 0; i < count; ++i) {
        const double scale = std::fabs(x[i] * 8) + 1e-3;
        CHECK(std::fabs(gelu[i] - gelu_expected[i]) < 1e-6 * scale);
        CHECK(std::fabs(silu[i] - silu_expected[i]) < 1e-6 * scale);
      }
    }
  }
}

TEST("a loop runs every iteration once on any number of threads, and passes an exception on") {
  for (const int threads : {1, 2, 5}) {
    cpu::ThreadPool pool(threads);
    for (const std::int64_t count : {0, 1, 2, 1000}) {
      std::vector<int> hits(static_cast<std::size_t>(count));
      pool.for_each(count, [&](std::int64_t i) { ++hits[i]; });
      CHECK(hits == std::vector<int>(static_cast<std::size_t>(count), 1));
    }
    bool thrown = false;
    try {
      pool.for_each(100, [](std::int64_t i) {
        if (i == 50) throw std::bad_alloc();
      });
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    CHECK(thrown);
    int after = 0;
    pool.for_each(1, [&](std::int64_t) { ++after; });
    CHECK_EQUAL(after, 1);
  }
}

}  // namespace
}  // namespace turboclip::test
