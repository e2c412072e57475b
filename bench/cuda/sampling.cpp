#include "sampling.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "cuda/device_plan.h"
#include "cuda/transformer.h"
#include "engine/checkpoint/random_checkpoint.h"
#include "engine/sampler/noise.h"
#include "engine/text.h"
#include "support.h"

namespace turboclip::bench {
namespace {

constexpr double kGibibyte = 1 << 30;
constexpr int kSteps = 4;
constexpr std::size_t kRuns = 3;
constexpr double kLongSeconds = 4;  // a clip that takes longer is timed once
constexpr std::int64_t kTokensOfPrompt = 100;

class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

double used_gibibytes() {
  std::size_t free_bytes = 0, total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) return 0;
  return static_cast<double>(total_bytes - free_bytes) / kGibibyte;
}

Status time_clip(cuda::Transformer& model, const cuda::Device& device, const char* name,
                 const ClipShape& clip, const char* way, double before) {
  const ModelLatentShape shape{clip.frames, clip.height, clip.width};
  const Conditioning conditioning{gaussian_noise(1, 9, {kTokensOfPrompt, model.config().text_width}), {}};
  const DenoiserSettings settings{Attention::sla, 0.1};
  const Clock beginning;
  const Status begun = model.begin_clip(shape, conditioning, settings, {});
  if (!begun) return begun;
  const double begin_seconds = beginning.seconds();
  using Steps = std::array<double, kSteps>;  // seconds since the beginning
  const auto run = [&](int steps) -> Result<Steps> {
    Steps done{};
    const Clock clock;
    const auto note = [&](int step, double) { done[static_cast<std::size_t>(step - 1)] = clock.seconds(); };
    const Result<Tensor> latent =
        model.sample({SamplerMethod::sde, steps, 80, ModelInput::bf16}, 7, {}, note);
    if (!latent) return latent.error();
    const std::vector<float>& values = latent.value().values;
    if (std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }))
      return done;
    return Error{ErrorCode::internal,
                 concat(clip.name, ", ", way, ": the latent has values that are no numbers")};
  };
  const Result<Steps> warmed = run(1);
  if (!warmed) return warmed.error();
  std::vector<Steps> runs;
  while (runs.size() < kRuns && (runs.empty() || runs.front().back() < kLongSeconds)) {
    const Result<Steps> timed = run(kSteps);
    if (!timed) return timed.error();
    runs.push_back(timed.value());
  }
  std::sort(runs.begin(), runs.end(), [](const Steps& a, const Steps& b) { return a.back() < b.back(); });
  const Steps& done = runs[runs.size() / 2];
  const cuda::AttentionTiles tiles = cuda::best_attention_tiles(device);
  const double planned =
      static_cast<double>(model.weight_bytes() +
                          cuda::clip_bytes(model.config(), shape, settings, kTokensOfPrompt, tiles)) /
      kGibibyte;
  std::printf("| %s %s, %s | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f to %.3f | %.2f | %.2f |\n", name,
              clip.name, way, begin_seconds, done[0], done[1], done[2], done[3], runs.front().back(),
              runs.back().back(), planned, used_gibibytes() - before);
  return success();
}

}  // namespace

void print_sampling_heads() {
  std::printf(
      "\nWhole clips of 81 frames, sampled on random weights of the true shapes (INT8 as a -quant file), "
      "top-k 0.1, a prompt of %lld tokens. Memory is of the transformer and the clip, as planned before and "
      "as taken.\n\n"
      "| clip, computed by | begin, s | 1 step, s | 2 | 3 | 4 | 4, least to most | planned, GiB | taken, GiB "
      "|\n"
      "|---|---|---|---|---|---|---|---|---|\n",
      static_cast<long long>(kTokensOfPrompt));
}

Status time_sampling(const char* model, const DenoiserConfig& config, const std::vector<ClipShape>& clips) {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "transformer.safetensors";
  const Status saved = random_transformer(config, true).save(path);
  if (!saved) return saved;
  const Result<Checkpoint> file = Checkpoint::open(path);
  if (!file) return file.error();
  cuda::Queue queue;
  const Status opened = queue.open(0);
  if (!opened) return opened;
  const double before = used_gibibytes();
  const Clock loading;
  Result<std::unique_ptr<cuda::Transformer>> loaded = cuda::Transformer::load(0, file.value());
  if (!loaded) return loaded.error();
  const double load_seconds = loading.seconds();
  for (const ClipShape& clip : clips) {
    for (const bool portable : {false, true}) {
      if (portable) cuda::leave_out_tiles("wgmma");
      const Status timed = time_clip(*loaded.value(), queue.device(), model, clip,
                                     portable ? "portable kernels" : "the card's best kernels", before);
      if (portable) cuda::take_tiles_again("wgmma");
      if (!timed) return timed;
    }
  }
  std::printf("| %s, load of %.2f GB from memory | %.2f | | | | | | | |\n", model,
              static_cast<double>(loaded.value()->weight_bytes()) * 1e-9, load_seconds);
  return success();
}

}  // namespace turboclip::bench
