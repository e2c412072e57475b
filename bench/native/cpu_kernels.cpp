// cpu_kernels DENOISER TEXT_ENCODER VAE
// Checks and times the CPU engine's kernels, and prints one JSON object: for each kernel the GFLOP/s beside
// those of a register-only multiply-add loop of the same instructions on the same threads, and the seconds of
// each stage of the demo's clip.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <optional>

#include "native/cases.h"
#include "native/peak.h"
#include "native/timing.h"

namespace turboclip::bench {
namespace {

constexpr int kRuns = 5;
constexpr double kBudgetSeconds = 0.25;
constexpr double kTolerance = 1e-5;
constexpr double kMostOfPeak = 1.02;  // above it one of the two times is wrong
constexpr int kThreads[] = {1, 2};

/// Shapes of real use: TurboWan 1.3B (width 1536, feed-forward 8960), umT5-xxl (4096), the official VAE (96
/// to 384 channels) and small sets like the demo's (width 256, a VAE of 8 to 32 channels at 256 x 192).
std::vector<KernelCase> all_cases() {
  std::vector<KernelCase> cases;
  cases.push_back(gemm_case("gemm 1.3B q: 384 x 1536 -> 1536", 384, 1536, 1536));
  cases.push_back(gemm_case("gemm 1.3B ffn: 192 x 8960 -> 1536", 192, 8960, 1536));
  cases.push_back(gemm_case("gemm demo q: 1728 x 256 -> 256", 1728, 256, 256));
  cases.push_back(gemm_case("gemm demo ffn: 1728 x 256 -> 1024", 1728, 256, 1024));
  cases.push_back(gemm_case("gemm umT5-xxl q: 100 x 4096 -> 4096", 100, 4096, 4096));
  cases.push_back(gemm_case("gemm demo umT5: 24 x 128 -> 256", 24, 128, 256));
  cases.push_back(attention_case("attention demo: 1 head, 1728 tokens", 1728));
  cases.push_back(attention_case("attention: 1 head, 4096 tokens", 4096));
  cases.push_back(conv_case("conv demo 32 -> 32, 24 x 32", {32, 32, 1, 24, 32}));
  cases.push_back(conv_case("conv demo 32 -> 32, 2 frames 48 x 64", {32, 32, 2, 48, 64}));
  cases.push_back(conv_case("conv demo 16 -> 16, 4 frames 96 x 128", {16, 16, 4, 96, 128}));
  cases.push_back(conv_case("conv demo 8 -> 8, 4 frames 192 x 256", {8, 8, 4, 192, 256}));
  cases.push_back(conv_case("conv demo head 8 -> 3, 4 frames 192 x 256", {8, 3, 4, 192, 256}));
  cases.push_back(conv_case("conv 96 -> 96, 1 frame 96 x 128", {96, 96, 1, 96, 128}));
  cases.push_back(conv_case("conv 384 -> 384, 1 frame 24 x 32", {384, 384, 1, 24, 32}));
  return cases;
}

std::vector<const cpu::Kernels*> kernel_sets() {
  std::vector<const cpu::Kernels*> sets;
  for (const cpu::Kernels* kernels : {&cpu::portable_kernels(), cpu::avx2_kernels(), cpu::avx512_kernels()}) {
    if (kernels != nullptr) sets.push_back(kernels);
  }
  return sets;
}

struct Row {
  std::string name;
  const cpu::Kernels* kernels;
  int threads;
  double gflops;
  double error;
};

/// Nothing, with the reason on stderr, when the kernel computes something else than it should.
std::optional<Row> time_case(const KernelCase& test, const cpu::Context& context) {
  test.run(context);
  const double error = test.error();
  if (!(error < kTolerance)) {
    std::fprintf(stderr, "cpu_kernels: %s (%s) is %.2e from float64, above %.0e; it is not timed\n",
                 test.name.c_str(), context.kernels.name, error, kTolerance);
    return std::nullopt;
  }
  const double seconds = typical_seconds(
      context.pool.threads(), [&] { test.run(context); }, kRuns, kBudgetSeconds);
  return Row{test.name, &context.kernels, context.pool.threads(), test.flop / seconds * 1e-9, error};
}

/// One kernel set on one number of threads. The ceiling is taken anew beside every kernel and the highest
/// counts, since a processor's clock moves and other programs come and go.
std::vector<Row> time_set(const std::vector<KernelCase>& cases, const cpu::Context& context, double& peak,
                          bool& right) {
  std::vector<Row> rows;
  for (const KernelCase& test : cases) {
    peak = std::max(peak, register_peak(context.kernels, context.pool) * 1e-9);
    if (const std::optional<Row> row = time_case(test, context)) {
      rows.push_back(*row);
    } else {
      right = false;
    }
  }
  return rows;
}

bool report_kernels() {
  const std::vector<KernelCase> cases = all_cases();
  bool right = true;
  const char* separator = "\n";
  std::printf("\"kernels\":[");
  for (const int threads : kThreads) {
    cpu::ThreadPool pool(threads);
    for (const cpu::Kernels* kernels : kernel_sets()) {
      if (threads > 1 && kernels != &cpu::best_kernels()) continue;
      double peak = 0;
      for (const Row& row : time_set(cases, {pool, *kernels}, peak, right)) {
        if (row.gflops > kMostOfPeak * peak) {
          std::fprintf(stderr,
                       "cpu_kernels: %s (%s, %d threads) is %.0f%% of its own ceiling; one of the times is "
                       "wrong, measure again on a quieter machine\n",
                       row.name.c_str(), row.kernels->name, row.threads, 100 * row.gflops / peak);
          right = false;
        }
        std::printf(
            "%s{\"name\":\"%s\",\"set\":\"%s\",\"threads\":%d,\"gflops\":%.2f,\"peak\":%.2f,\"error\":%.2e}",
            separator, row.name.c_str(), row.kernels->name, row.threads, row.gflops, peak, row.error);
        separator = ",\n";
      }
    }
  }
  std::printf("]");
  return right;
}

bool report_models(const ModelFiles& files) {
  const char* separator = "\n";
  std::printf(",\n\"models\":[");
  for (const int threads : kThreads) {
    const Result<ModelSeconds> seconds = time_models(files, threads);
    if (!seconds) {
      std::fprintf(stderr, "cpu_kernels: %s\n", seconds.error().message.c_str());
      return false;
    }
    std::printf("%s{\"threads\":%d,\"text_encode\":%.4f,\"step\":%.4f,\"decode\":%.4f}", separator, threads,
                seconds.value().text_encode, seconds.value().step, seconds.value().decode);
    separator = ",\n";
  }
  std::printf("]");
  return true;
}

}  // namespace
}  // namespace turboclip::bench

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: cpu_kernels DENOISER TEXT_ENCODER VAE\n");
    return 2;
  }
  try {
    std::printf("{");
    const bool right = turboclip::bench::report_kernels();
    const bool timed = right && turboclip::bench::report_models({argv[1], argv[2], argv[3]});
    std::printf("}\n");
    return timed ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cpu_kernels: %s\n", error.what());
    return 1;
  }
}
