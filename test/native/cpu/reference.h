// Plain float64 arithmetic to judge the CPU kernels by, and inputs that are the same on every run.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "cpu/context.h"
#include "cpu/kernels.h"
#include "engine/thread_pool.h"

namespace turboclip::test {

/// Values in [-1, 1), from a small generator (splitmix64) so that a failure repeats.
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

/// Every kernel set that this processor runs.
inline std::vector<const cpu::Kernels*> all_kernels() {
  std::vector<const cpu::Kernels*> sets{&cpu::portable_kernels()};
  for (const cpu::Kernels* kernels : {cpu::avx2_kernels(), cpu::avx512_kernels()}) {
    if (kernels != nullptr) sets.push_back(kernels);
  }
  return sets;
}

}  // namespace turboclip::test
