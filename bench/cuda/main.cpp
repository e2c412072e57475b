// Checks the CUDA kernels on this machine's card against the CPU engine, by the same tests that run on the
// emulated machine, and only then times them at the true shapes.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <tuple>

#include "cases.h"
#include "check.h"
#include "cublas.h"
#include "cuda/device_array.h"
#include "decoders.h"
#include "sampling.h"
#include "text_encoder.h"

namespace turboclip::bench {
namespace {

const ModelShape kShapes[] = {{"1.3B 480p", 12, 8960, 30, 21, 30, 52, 101},
                              {"14B 480p", 40, 13824, 40, 21, 30, 52, 101},
                              {"14B 720p", 40, 13824, 40, 21, 45, 80, 101}};

DenoiserConfig config_of(std::int64_t heads, std::int64_t ffn, std::int64_t layers) {
  DenoiserConfig config;
  config.width = 128 * heads;
  config.heads = heads;
  config.ffn = ffn;
  config.layers = layers;
  config.text_width = 4096;
  config.in_channels = kLatentChannels;
  config.has_sla = true;
  return config;
}

/// By its datasheet: bf16 with float32 sums, e4m3 and halves with sums in halves.
constexpr Ceilings kRtx5090{838e12, 209e12, 1.79e12, 838e12, 419e12};

/// mma.sync as measured on an H100 80GB, by multiprocessor; an RTX 5090's for what came after.
Ceilings ceilings(const cudaDeviceProp& card) {
  if (card.major >= 12) return kRtx5090;
  const double share = card.multiProcessorCount / 132.0;
  // An H200 has the H100's multiprocessors and faster memory.
  return {1289e12 * share, 645e12 * share, card.totalGlobalMem > (std::size_t{100} << 30) ? 4.2e12 : 3.0e12};
}

/// Operations a second of every linear layer in every tiles, and of cuBLAS's product of the same shape.
void compare_tiles(cuda::Queue& queue, BlockCases& block, Cublas* cublas) {
  const std::vector<cuda::GemmTiles> all = cuda::gemm_tiles(queue.device());
  std::printf("\n| Tops/s, epilogues included |");
  for (const cuda::GemmTiles tiles : all) std::printf(" %s |", cuda::name(tiles));
  std::printf(" cuBLAS, int32 out | best |\n|---|");
  for (std::size_t i = 0; i < all.size() + 2; ++i) std::printf("---|");
  std::printf("\n");
  for (const BlockCases::Product& product : block.products()) {
    const auto print = [&](const std::function<void()>& run) {
      const double rate = product.operations() / median_seconds(queue, run) * 1e-12;
      std::printf(" %6.0f |", rate);
      return rate;
    };
    std::printf("| %-20s |", product.name.c_str());
    const char* best = "";
    double best_rate = 0;
    for (const cuda::GemmTiles tiles : all) {
      const double rate = print([&] { product.run(tiles); });
      if (rate > best_rate) best = cuda::name(tiles);
      best_rate = std::max(rate, best_rate);
    }
    cuda::DeviceArray<std::int32_t> sums;
    const std::int64_t rows = product.x.rows;
    if (cublas != nullptr && cublas->prepare(rows, product.weight.out, product.weight.in)) {
      sums.allocate(queue, rows * product.weight.out);
      print([&] { cublas->multiply(queue, product.x.values, product.weight.values, sums.data()); });
    } else {
      std::printf("   none |");
    }
    std::printf(" %s |\n", best);
  }
}

int run() {
  cuda::Queue queue;
  const Status opened = queue.open(0);
  if (!opened) {
    std::fprintf(stderr, "%s\n", opened.error().message.c_str());
    return 1;
  }
  cudaDeviceProp card{};
  queue.check("the card's properties", cudaGetDeviceProperties(&card, 0));
  int driver = 0;
  queue.check("the driver's version", cudaDriverGetVersion(&driver));
  const Ceilings best = ceilings(card);
  std::printf("\n%s, %d multiprocessors, driver for CUDA %d.%d\n", card.name, card.multiProcessorCount,
              driver / 1000, driver % 1000 / 10);
  std::printf("ceilings taken: INT8 %.0f TOPS, bf16 %.0f TFLOP/s, %.2f TB/s\n", best.int8 * 1e-12,
              best.bf16 * 1e-12, best.bytes * 1e-12);
  const Status decoders = time_decoders(queue, best, kRtx5090);
  if (!decoders) {
    std::fprintf(stderr, "%s\n", decoders.error().message.c_str());
    return 1;
  }
  const Status text = time_text_encoder(queue, best, kRtx5090);
  if (!text) {
    std::fprintf(stderr, "%s\n", text.error().message.c_str());
    return 1;
  }
  const std::unique_ptr<Cublas> cublas = Cublas::open();
  for (const ModelShape& shape : kShapes) {
    queue.enter(shape.name.c_str());
    BlockCases block(queue, shape);
    std::printf("\n%s, %lld tokens, top-k 0.1\n\n", shape.name.c_str(),
                static_cast<long long>(shape.tokens()));
    std::printf(
        "| kernel | ms | Tops/s | TB/s | moved / needed | floor, ms | share | RTX 5090, predicted ms |\n");
    std::printf("|---|---|---|---|---|---|---|---|\n");
    double total = 0;
    for (const BlockCases::Case& one : block.cases()) {
      const double seconds = median_seconds(queue, one.work.run);
      const Status status = queue.finish();
      if (!status) {
        std::fprintf(stderr, "%s: %s\n", one.work.name.c_str(), status.error().message.c_str());
        return 1;
      }
      print_line(best, kRtx5090, one.work, seconds);
      total += seconds * one.times;
    }
    std::printf("\nby these times a step's blocks take %.1f ms, four steps %.2f s\n",
                total * static_cast<double>(shape.layers) * 1e3,
                4 * total * static_cast<double>(shape.layers));
    compare_tiles(queue, block, cublas.get());
    for (const cuda::AttentionTiles tiles : cuda::attention_tiles(queue.device())) {
      std::printf("\n%s: %.3f ms\n", cuda::name(tiles),
                  median_seconds(queue, [&] { block.attend(tiles); }) * 1e3);
    }
    const Status compared = queue.finish();
    if (!compared) {
      std::fprintf(stderr, "%s\n", compared.error().message.c_str());
      return 1;
    }
  }
  return 0;
}

/// The linear layers alone, in all tiles.
int run_products() {
  cuda::Queue queue;
  Status status = queue.open(0);
  const std::unique_ptr<Cublas> cublas = Cublas::open();
  for (const ModelShape& shape : kShapes) {
    if (!status) break;
    queue.enter(shape.name.c_str());
    BlockCases block(queue, shape);
    std::printf("\n%s\n", shape.name.c_str());
    compare_tiles(queue, block, cublas.get());
    status = queue.finish();
  }
  if (status) return 0;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  return 1;
}

/// Whole clips of both models.
int run_clips() {
  print_sampling_heads();
  const ClipShape small{"480p", 21, 60, 104};
  const ClipShape large{"720p", 21, 90, 160};
  for (const auto& [name, heads, ffn, layers] :
       {std::tuple{"1.3B", 12, 8960, 30}, std::tuple{"14B", 40, 13824, 40}}) {
    const Status timed = time_sampling(name, config_of(heads, ffn, layers), {small, large});
    if (timed) continue;
    std::fprintf(stderr, "%s: %s\n", name, timed.error().message.c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace turboclip::bench

/// cuda_bench [--without word] [--check [filter] | --products | --clips]. --without: no tiles with the word
/// in their name. --check: the checks alone, for compute-sanitizer. --products: the linear layers' checks,
/// then their times in all tiles. --clips: whole clips, without the checks, which a run without options makes
/// before it times the kernels.
int main(int argc, char** argv) {
  int devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&devices);
  if (devices == 0) {
    std::fprintf(stderr, "no CUDA device: %s\n",
                 found == cudaSuccess ? "the driver shows none" : cudaGetErrorString(found));
    return 1;
  }
  int used = 0;
  const auto given = [&](const char* option) {
    const bool here = used + 1 < argc && std::strcmp(argv[used + 1], option) == 0;
    used += here ? 1 : 0;
    return here;
  };
  while (given("--without") && used + 1 < argc) turboclip::cuda::leave_out_tiles(argv[++used]);
  if (given("--clips")) return turboclip::bench::run_clips();
  if (given("--products")) {
    char filter[] = "INT8";  // in the names of their tests
    char* named[] = {argv[0], filter};
    const int wrong = turboclip::test::run_tests(2, named);
    return wrong != 0 ? wrong : turboclip::bench::run_products();
  }
  const bool check_only = given("--check");
  const int failed = turboclip::test::run_tests(argc - used, argv + used);
  return failed != 0 || check_only ? failed : turboclip::bench::run();
}
