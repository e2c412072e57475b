#include "fma_peak.h"

#include <algorithm>
#include <chrono>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace turboclip::bench {
namespace {

// Two multiply-add units of four cycles' latency want eight sums in flight; twelve leave registers to spare
// in every set. Each sum starts from a value of its own that no compiler knows: twelve equal ones would be
// folded into one, and the loop would wait for its latency instead of filling the units.
constexpr int kSums = 12;
using Starts = float[kSums];
constexpr std::int64_t kRounds = 100'000;  // a third of a millisecond: seldom interrupted
constexpr int kRuns = 200;
constexpr float kFactor = 0.999f;
constexpr float kTerm = 0.001f;

using Four = float __attribute__((vector_size(16)));

/// Runs kRounds rounds of kSums multiply-adds and returns a value that depends on all of them.
float loop_portable(const Starts& starts) {
  Four sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = starts[i] - Four{};
  const Four factor = kFactor - Four{};
  for (std::int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = sums[i] * factor + kTerm;
  }
  for (int i = 1; i < kSums; ++i) sums[0] += sums[i];
  return sums[0][0];
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float loop_avx2(const Starts& starts) {
  __m256 sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = _mm256_set1_ps(starts[i]);
  const __m256 factor = _mm256_set1_ps(kFactor);
  const __m256 term = _mm256_set1_ps(kTerm);
  for (std::int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = _mm256_fmadd_ps(sums[i], factor, term);
  }
  for (int i = 1; i < kSums; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  return _mm256_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f"))) float loop_avx512(const Starts& starts) {
  __m512 sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = _mm512_set1_ps(starts[i]);
  const __m512 factor = _mm512_set1_ps(kFactor);
  const __m512 term = _mm512_set1_ps(kTerm);
  for (std::int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = _mm512_fmadd_ps(sums[i], factor, term);
  }
  for (int i = 1; i < kSums; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_cvtss_f32(sums[0]);
}
#endif

struct Loop {
  float (*run)(const Starts& starts);
  int floats;
};

Loop loop_of(const cpu::Kernels& kernels) {
#if defined(__x86_64__)
  if (&kernels == cpu::avx512_kernels()) return {loop_avx512, 16};
  if (&kernels == cpu::avx2_kernels()) return {loop_avx2, 8};
#endif
  return {loop_portable, 4};
}

}  // namespace

double fma_peak(const cpu::Context& context) {
  const Loop loop = loop_of(context.kernels);
  const int threads = context.pool.threads();
  std::vector<float> results(static_cast<std::size_t>(threads));
  Starts starts;
  const volatile float step = 0.125f;
  for (int i = 0; i < kSums; ++i) starts[i] = step * static_cast<float>(i);
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    context.pool.for_each(threads, [&](std::int64_t i) { results[i] = loop.run(starts); });
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    best = std::max(best, 2.0 * threads * loop.floats * kSums * static_cast<double>(kRounds) / taken.count());
  }
  // The sums settle at kTerm / (1 - kFactor) = 1 each; anything else means that the loop did not run.
  return results.front() > 0.99f * kSums && results.front() < 1.01f * kSums ? best : 0;
}

}  // namespace turboclip::bench
