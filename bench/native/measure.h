// Timing and judging, shared by the benchmark's cases.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace turboclip::bench {

struct Row {
  std::string what;
  std::string kernels;  // which instruction set
  double error = 0;     // relative to the reference that the case names
  double tolerance = 0;
  double seconds = 0;     // 0: not timed, because the error is above the tolerance
  double operations = 0;  // a run, two a multiply-add; 0: not counted
  double peak = 0;        // operations a second of the register-only loop, on the same threads
};

/// Whether the case may be timed at all; false for NaN.
inline bool is_right(const Row& row) { return row.error <= row.tolerance; }

/// The shortest of at least three runs and of half a second's worth.
template <class Body>
double best_seconds(const Body& body) {
  double best = INFINITY;
  double total = 0;
  for (int run = 0; run < 3 || total < 0.5; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    best = std::min(best, taken.count());
    total += taken.count();
  }
  return best;
}

/// The checked row with its time, unless the check failed.
template <class Body>
Row timed_if_right(Row row, const Body& body) {
  if (is_right(row)) row.seconds = best_seconds(body);
  return row;
}

/// Values in [-1, 1), the same on every run (splitmix64).
inline std::vector<float> random_values(std::int64_t count, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) {
    seed += 0x9E3779B97F4A7C15u;
    std::uint64_t bits = seed;
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
    value = static_cast<float>(static_cast<double>((bits ^ (bits >> 31)) >> 11) * 0x1.0p-52 - 1.0);
  }
  return values;
}

/// ||actual - expected|| / ||expected||
template <class Expected>
double relative_error(const std::vector<float>& actual, const std::vector<Expected>& expected) {
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(actual[i]) - static_cast<double>(expected[i]), 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / size);
}

}  // namespace turboclip::bench
