#include <limits>
#include <memory>

#include "engine/backend.h"
#include "engine/sampler/noise.h"
#include "native/cases.h"
#include "native/timing.h"

namespace turboclip::bench {
namespace {

constexpr ModelLatentShape kDemoLatent{9, 24, 32};  // 33 frames of 256 x 192
constexpr std::int64_t kPromptTokens = 24;
constexpr int kRuns = 3;
const CancelFlag kNeverCancelled;

/// The time of a call that may fail; the first failure is the error.
Result<double> timed(int threads, const std::function<Status()>& body) {
  Status status = success();
  const double seconds = typical_seconds(
      threads,
      [&] {
        if (status) status = body();
      },
      kRuns, 0);
  if (!status) return status.error();
  return seconds;
}

template <class Value>
Status status_of(const Result<Value>& result) {
  return result ? success() : Status(result.error());
}

template <class Model>
Result<std::unique_ptr<Model>> load(Backend& backend, const std::filesystem::path& path,
                                    Result<std::unique_ptr<Model>> (Backend::*loader)(const Checkpoint&)) {
  const Result<Checkpoint> checkpoint = Checkpoint::open(path);
  if (!checkpoint) return checkpoint.error();
  return (backend.*loader)(checkpoint.value());
}

}  // namespace

Result<ModelSeconds> time_models(const ModelFiles& files, int threads) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({threads});
  const auto encoder = load(*backend, files.text_encoder, &Backend::load_text_encoder);
  if (!encoder) return encoder.error();
  const auto denoiser = load(*backend, files.denoiser, &Backend::load_denoiser);
  if (!denoiser) return denoiser.error();
  const auto decoder = load(*backend, files.vae, &Backend::load_video_decoder);
  if (!decoder) return decoder.error();

  const std::vector<std::int32_t> ids(kPromptTokens, 7);
  Tensor text;
  const Result<double> encoding = timed(threads, [&] {
    Result<Tensor> rows = encoder.value()->encode(ids, kNeverCancelled, {});
    if (rows) text = rows.value();
    return status_of(rows);
  });
  if (!encoding) return encoding.error();
  const Status begun = denoiser.value()->begin_clip(kDemoLatent, {text, {}}, {}, kNeverCancelled);
  if (!begun) return begun.error();
  const Tensor x = gaussian_noise(1, 0, {16, kDemoLatent.frames, kDemoLatent.height, kDemoLatent.width});
  const Result<double> step =
      timed(threads, [&] { return status_of(denoiser.value()->velocity(x, 988, kNeverCancelled, {}, {})); });
  if (!step) return step.error();
  const FrameSink drop = [](std::int64_t, const Tensor&) { return success(); };
  const Result<double> decoding =
      timed(threads, [&] { return decoder.value()->decode(x, drop, kNeverCancelled, {}); });
  if (!decoding) return decoding.error();
  return ModelSeconds{encoding.value(), step.value(), decoding.value()};
}

}  // namespace turboclip::bench
