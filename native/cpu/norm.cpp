#include "cpu/norm.h"

#include <cmath>
#include <numeric>

namespace turboclip::cpu {
namespace {

constexpr std::int64_t kRowsPerTask = 32;
constexpr std::int64_t kHeadWidth = 128;
constexpr std::int64_t kPairs = kHeadWidth / 2;
constexpr std::int64_t kTimePairs = 22;
constexpr std::int64_t kSpacePairs = 21;
constexpr double kTheta = 10'000.0;
constexpr float kEpsilon = 1e-6f;

template <class Body>
void for_rows(const Context& context, std::int64_t rows, const Body& body) {
  context.pool.for_each(ceil_div(rows, kRowsPerTask), [&](std::int64_t task) {
    const std::int64_t end = std::min(rows, (task + 1) * kRowsPerTask);
    for (std::int64_t row = task * kRowsPerTask; row < end; ++row) body(row);
  });
}

/// The sum of f(x[i]) in float64, in lanes that do not wait for one another.
template <class F>
double sum_of(const float* x, std::int64_t count, const F& f) {
  constexpr std::int64_t kLanes = 16;
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += f(x[i + lane]);
  }
  for (; i < count; ++i) lanes[i % kLanes] += f(x[i]);
  return std::accumulate(lanes, lanes + kLanes, 0.0);
}

}  // namespace

void modulated_layer_norm(const Context& context, const Rows& x, const float* gain, const float* shift,
                          float* out) {
  for_rows(context, x.rows, [&](std::int64_t row) {
    const float* in = x.data + row * x.width;
    // Two passes: the mean first, so that the variance does not cancel.
    const auto width = static_cast<double>(x.width);
    const double mean = sum_of(in, x.width, [](double value) { return value; }) / width;
    const double variance =
        sum_of(in, x.width, [&](double value) { return (value - mean) * (value - mean); }) / width;
    context.kernels.modulated(out + row * x.width, in, static_cast<float>(mean),
                              static_cast<float>(1.0 / std::sqrt(variance + double{kEpsilon})), gain, shift,
                              x.width);
  });
}

void rms_norm(const Context& context, const Rows& x, const float* weight) {
  for_rows(context, x.rows, [&](std::int64_t row) {
    float* values = x.data + row * x.width;
    const float mean = context.kernels.dot(values, values, x.width) / static_cast<float>(x.width);
    context.kernels.scaled(values, values, 1.0f / std::sqrt(mean + kEpsilon), weight, x.width);
  });
}

RotaryTable make_rotary_table(std::int64_t frames, std::int64_t height, std::int64_t width) {
  RotaryTable table;
  const auto size = static_cast<std::size_t>(frames * height * width * kPairs);
  table.cosines.reserve(size);
  table.sines.reserve(size);
  const auto add = [&](std::int64_t position, std::int64_t pairs) {
    for (std::int64_t i = 0; i < pairs; ++i) {
      const double exponent = static_cast<double>(i) / static_cast<double>(pairs);
      const double angle = static_cast<double>(position) * std::pow(kTheta, -exponent);
      table.cosines.push_back(static_cast<float>(std::cos(angle)));
      table.sines.push_back(static_cast<float>(std::sin(angle)));
    }
  };
  for (std::int64_t t = 0; t < frames; ++t) {
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        add(t, kTimePairs);
        add(y, kSpacePairs);
        add(x, kSpacePairs);
      }
    }
  }
  return table;
}

void apply_rotary(const Context& context, const Rows& x, const RotaryTable& table) {
  for_rows(context, x.rows, [&](std::int64_t row) {
    const float* cosines = table.cosines.data() + row * kPairs;
    const float* sines = table.sines.data() + row * kPairs;
    for (float* head = x.data + row * x.width; head < x.data + (row + 1) * x.width; head += kHeadWidth) {
      for (std::int64_t i = 0; i < kPairs; ++i) {
        const float even = head[2 * i];
        const float odd = head[2 * i + 1];
        head[2 * i] = even * cosines[i] - odd * sines[i];
        head[2 * i + 1] = even * sines[i] + odd * cosines[i];
      }
    }
  });
}

}  // namespace turboclip::cpu
