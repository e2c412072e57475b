#include "native/peak.h"

#include <atomic>
#include <string_view>

#include "native/timing.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace turboclip::bench {
namespace {

/// Enough chains to cover a latency of 4 cycles on two units, few enough for 16 registers.
constexpr int kChains = 12;
constexpr std::int64_t kRounds = 100'000;
constexpr int kRuns = 21;
constexpr double kBudgetSeconds = 0.03;

using Quad = float __attribute__((vector_size(16)));

/// x -> x * shrink + 1 settles at 2: no value overflows or becomes denormal. The chains start from different
/// values, or the compiler would compute one for all. Without fused instructions a multiplication and an
/// addition are the two operations.
float spin_portable() {
  Quad sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = Quad{} + static_cast<float>(c);
  const Quad shrink = {0.5f, 0.5f, 0.5f, 0.5f};
  const Quad one = {1, 1, 1, 1};
  for (std::int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) sums[c] = sums[c] * shrink + one;
  }
  float total = 0;
  for (const Quad& sum : sums) total += sum[0];
  return total;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float spin_avx2() {
  __m256 sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = _mm256_set1_ps(static_cast<float>(c));
  const __m256 shrink = _mm256_set1_ps(0.5f);
  const __m256 one = _mm256_set1_ps(1);
  for (std::int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) sums[c] = _mm256_fmadd_ps(sums[c], shrink, one);
  }
  float total = 0;
  for (const __m256& sum : sums) total += _mm256_cvtss_f32(sum);
  return total;
}

__attribute__((target("avx512f"))) float spin_avx512() {
  __m512 sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = _mm512_set1_ps(static_cast<float>(c));
  const __m512 shrink = _mm512_set1_ps(0.5f);
  const __m512 one = _mm512_set1_ps(1);
  for (std::int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) sums[c] = _mm512_fmadd_ps(sums[c], shrink, one);
  }
  float total = 0;
  for (const __m512& sum : sums) total += _mm512_cvtss_f32(sum);
  return total;
}
#endif

struct Spin {
  float (*run)();
  int floats;
};

Spin spin_of(const cpu::Kernels& kernels) {
#if defined(__x86_64__)
  const std::string_view name = kernels.name;
  if (name == "avx512") return {spin_avx512, 16};
  if (name == "avx2") return {spin_avx2, 8};
#else
  static_cast<void>(kernels);
#endif
  return {spin_portable, 4};
}

}  // namespace

double register_peak(const cpu::Kernels& kernels, cpu::ThreadPool& pool) {
  const Spin spin = spin_of(kernels);
  std::atomic<float> used{0};  // what is computed must be used
  const auto all = [&] { pool.for_each(pool.threads(), [&](std::int64_t) { used = spin.run(); }); };
  const double flop = 2.0 * kChains * spin.floats * static_cast<double>(kRounds) * pool.threads();
  return flop / typical_seconds(pool.threads(), all, kRuns, kBudgetSeconds);
}

}  // namespace turboclip::bench
