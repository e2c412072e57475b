// A backend whose models are a few lines of arithmetic, so that the sampler and the pipeline are tested apart
// from any real kernel.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/backend.h"

namespace turboclip::test {

inline Error cancelled() { return {ErrorCode::cancelled, "the clip was cancelled"}; }

/// v = 0.5 x + 0.25; records what it was given.
class FakeDenoiser : public Denoiser {
 public:
  DenoiserConfig settings{128, 1, 256, 1, 8, 16, true};
  std::vector<double> timesteps;
  std::vector<Tensor> states;
  Shape text_shape;
  ModelLatentShape latent;
  std::size_t fail_at_step = 0;  // counted from 1; 0: never
  bool exhaust_memory = false;
  bool make_nan = false;
  bool samples_whole = false;
  std::vector<std::uint64_t> whole_seeds;  // of the clips that sample_clip() made
  std::chrono::milliseconds block_time{0};

  const DenoiserConfig& config() const override { return settings; }
  Status begin_clip(const ModelLatentShape& shape, const Conditioning& conditioning, const DenoiserSettings&,
                    const CancelFlag&) override {
    latent = shape;
    text_shape = conditioning.text.shape;
    if (exhaust_memory) throw std::bad_alloc();
    return success();
  }
  Result<Tensor> velocity(const Tensor& x, double timestep, const CancelFlag& cancel,
                          const Progress& progress, const Tap&) override {
    timesteps.push_back(timestep);
    states.push_back(x);
    if (timesteps.size() == fail_at_step) return Error{ErrorCode::internal, "made to fail"};
    for (int block = 0; block < 4; ++block) {
      if (cancel.requested.load()) return cancelled();
      if (progress) progress(block / 4.0);
      std::this_thread::sleep_for(block_time);
    }
    Tensor v(x.shape);
    for (std::size_t i = 0; i < v.values.size(); ++i) v.values[i] = 0.5f * x.values[i] + 0.25f;
    if (make_nan) v.values.back() = 0.0f / 0.0f * v.values.back();
    return v;
  }
  std::optional<Result<Tensor>> sample_clip(const SamplerSettings& sampling, std::uint64_t seed,
                                            const CancelFlag&, const StepProgress& progress) override {
    if (!samples_whole) return std::nullopt;
    whole_seeds.push_back(seed);
    for (int step = 1; step <= sampling.steps && progress; ++step) progress(step, 1);
    return Tensor({kLatentChannels, latent.frames, latent.height, latent.width});
  }
};

/// Rows of the token's id.
class FakeTextEncoder : public TextEncoder {
 public:
  std::int64_t rows_width = 8;
  std::int64_t width() const override { return rows_width; }
  std::int64_t vocabulary() const override { return 100; }
  Result<Tensor> encode(std::span<const std::int32_t> ids, const CancelFlag& cancel,
                        const Progress& progress) override {
    if (cancel.requested.load()) return cancelled();
    Tensor rows({static_cast<std::int64_t>(ids.size()), rows_width});
    for (std::size_t i = 0; i < rows.values.size(); ++i) {
      rows.values[i] = static_cast<float>(ids[i / static_cast<std::size_t>(rows_width)]);
    }
    if (progress) progress(1);
    return rows;
  }
};

/// Every pixel is its latent cell's first channel; one latent frame at a time.
class FakeDecoder : public VideoDecoder {
 public:
  Status decode(const Tensor& z, const FrameSink& sink, const CancelFlag& cancel,
                const Progress& progress) override {
    const std::int64_t frames = z.size(1);
    const std::int64_t height = 8 * z.size(2);
    const std::int64_t width = 8 * z.size(3);
    for (std::int64_t t = 0; t < frames; ++t) {
      if (cancel.requested.load()) return cancelled();
      const std::int64_t count = t == 0 ? 1 : 4;
      Tensor rgb({count, height, width, 3});
      for (std::int64_t i = 0; i < element_count(rgb.shape); ++i) {
        const std::int64_t pixel = i / 3 % (height * width);
        const std::int64_t cell = pixel / width / 8 * z.size(3) + pixel % width / 8;
        rgb.values[static_cast<std::size_t>(i)] =
            z.values[static_cast<std::size_t>(t * z.size(2) * z.size(3) + cell)];
      }
      const Status taken = sink(t == 0 ? 0 : 4 * t - 3, rgb);
      if (!taken) return taken;
      if (progress) progress(static_cast<double>(t + 1) / static_cast<double>(frames));
    }
    return success();
  }
};

/// Hands out prepared models, whatever the checkpoints hold.
class FakeBackend : public Backend {
 public:
  std::unique_ptr<FakeDenoiser> denoiser = std::make_unique<FakeDenoiser>();
  std::unique_ptr<FakeTextEncoder> text_encoder = std::make_unique<FakeTextEncoder>();

  std::string name() const override { return "fake"; }
  Result<std::unique_ptr<TextEncoder>> load_text_encoder(const Checkpoint&) override {
    return std::unique_ptr<TextEncoder>(std::move(text_encoder));
  }
  Result<std::unique_ptr<Denoiser>> load_denoiser(const Checkpoint&) override {
    return std::unique_ptr<Denoiser>(std::move(denoiser));
  }
  Result<std::unique_ptr<VideoDecoder>> load_video_decoder(const Checkpoint&) override {
    return std::unique_ptr<VideoDecoder>(std::make_unique<FakeDecoder>());
  }
  Result<Tensor> int8_product(const Int8Blocks& x, const Int8Blocks& w) override {
    return Tensor({x.rows, w.rows});
  }
  std::int64_t resident_bytes() const override { return 1234; }
};

}  // namespace turboclip::test
