// cpu_kernels [THREADS]
// Times the CPU backend's kernels against a register-only multiply-add loop on the same cores, and the models
// at the demo's size. Each case is checked before it is timed: a wrong result ends the run with exit code 1.
#include <charconv>
#include <cstdio>
#include <exception>
#include <string_view>
#include <thread>

#include "cases.h"
#include "fma_peak.h"

namespace turboclip::bench {
namespace {

/// Prints a table line; false when the result was wrong.
bool print(const Row& row) {
  if (!is_right(row)) {
    std::printf("| %s | %s | WRONG: error %.2e |\n", row.what.c_str(), row.kernels.c_str(), row.error);
  } else if (row.operations > 0) {
    const double rate = row.operations / row.seconds;
    std::printf("| %s | %s | %.1e | %.3f | %.1f | %.0f%% |\n", row.what.c_str(), row.kernels.c_str(),
                row.error, 1e3 * row.seconds, 1e-9 * rate, 100 * rate / row.peak);
  } else {
    std::printf("| %s | %s | %.1e | %.1f | | |\n", row.what.c_str(), row.kernels.c_str(), row.error,
                1e3 * row.seconds);
  }
  std::fflush(stdout);
  return is_right(row);
}

bool run(int threads) {
  cpu::ThreadPool pool(threads);
  const cpu::Context portable{pool, cpu::portable_kernels()};
  std::printf("%d threads. Error: relative, kernels to float64, models to the portable kernels.\n\n",
              threads);
  std::printf(
      "| what | kernels | error | ms | GFLOP/s | of the register loop |\n|---|---|---|---|---|---|\n");
  bool right = true;
  for (const cpu::Kernels* kernels : {cpu::avx512_kernels(), cpu::avx2_kernels(), &cpu::portable_kernels()}) {
    if (kernels == nullptr) continue;
    const cpu::Context context{pool, *kernels};
    const double peak = fma_peak(context);
    std::printf("| register loop | %s | | | %.1f | 100%% |\n", kernels->name, 1e-9 * peak);
    for (const Row& row : kernel_rows(context, peak)) right = print(row) && right;
    for (const Row& row : model_rows(context, portable)) right = print(row) && right;
  }
  return right;
}

}  // namespace
}  // namespace turboclip::bench

int main(int argc, char** argv) {
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  if (argc > 1) {
    const std::string_view text = argv[1];
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), threads);
    if (problem != std::errc() || end != text.data() + text.size() || threads < 1 || threads > 1024) {
      std::fprintf(stderr, "usage: cpu_kernels [THREADS], 1 to 1024\n");
      return 2;
    }
  }
  try {
    return turboclip::bench::run(threads < 1 ? 1 : threads) ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
