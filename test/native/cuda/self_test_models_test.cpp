// A card's small models: the CPU engine passes for a card, with one thing wrong at a time.
#include "cuda/self_test_models.h"

#include <functional>
#include <utility>

#include "check.h"
#include "support.h"

namespace turboclip::test {
namespace {

/// What is done to a card's results; nothing where empty.
struct Faults {
  std::function<void(Tensor&)> rows{};
  std::function<void(Tensor&)> velocity{};
  std::function<void(Tensor&)> frames{};
  std::optional<Error> decoder{};
};

class FaultyTextEncoder : public TextEncoder {
 public:
  FaultyTextEncoder(std::unique_ptr<TextEncoder> right, const Faults& faults)
      : right_(std::move(right)), faults_(faults) {}
  std::int64_t width() const override { return right_->width(); }
  std::int64_t vocabulary() const override { return right_->vocabulary(); }
  Result<Tensor> encode(std::span<const std::int32_t> ids, const CancelFlag& cancel,
                        const Progress& progress) override {
    Result<Tensor> rows = right_->encode(ids, cancel, progress);
    if (rows && faults_.rows) faults_.rows(rows.value());
    return rows;
  }

 private:
  std::unique_ptr<TextEncoder> right_;
  const Faults& faults_;
};

class FaultyDenoiser : public Denoiser {
 public:
  FaultyDenoiser(std::unique_ptr<Denoiser> right, const Faults& faults)
      : right_(std::move(right)), faults_(faults) {}
  const DenoiserConfig& config() const override { return right_->config(); }
  Status begin_clip(const ModelLatentShape& shape, const Conditioning& conditioning,
                    const DenoiserSettings& settings, const CancelFlag& cancel) override {
    return right_->begin_clip(shape, conditioning, settings, cancel);
  }
  Result<Tensor> velocity(const Tensor& x, double timestep, const CancelFlag& cancel,
                          const Progress& progress, const Tap& tap) override {
    Result<Tensor> v = right_->velocity(x, timestep, cancel, progress, tap);
    if (v && faults_.velocity) faults_.velocity(v.value());
    return v;
  }

 private:
  std::unique_ptr<Denoiser> right_;
  const Faults& faults_;
};

class FaultyDecoder : public VideoDecoder {
 public:
  FaultyDecoder(std::unique_ptr<VideoDecoder> right, const Faults& faults)
      : right_(std::move(right)), faults_(faults) {}
  Status decode(const Tensor& z, const FrameSink& sink, const CancelFlag& cancel,
                const Progress& progress) override {
    const auto changed = [&](std::int64_t first, const Tensor& rgb) {
      Tensor frames = rgb;
      if (faults_.frames) faults_.frames(frames);
      return sink(first, frames);
    };
    return right_->decode(z, changed, cancel, progress);
  }

 private:
  std::unique_ptr<VideoDecoder> right_;
  const Faults& faults_;
};

class FaultyBackend : public Backend {
 public:
  explicit FaultyBackend(Faults faults) : faults_(std::move(faults)) {}
  std::string name() const override { return "faulty"; }
  Result<std::unique_ptr<TextEncoder>> load_text_encoder(const Checkpoint& file) override {
    Result<std::unique_ptr<TextEncoder>> right = cpu_->load_text_encoder(file);
    if (!right) return right;
    return std::unique_ptr<TextEncoder>(
        std::make_unique<FaultyTextEncoder>(std::move(right).value(), faults_));
  }
  bool encodes_on_host() const override { return false; }
  Result<std::unique_ptr<Denoiser>> load_denoiser(const Checkpoint& file) override {
    Result<std::unique_ptr<Denoiser>> right = cpu_->load_denoiser(file);
    if (!right) return right;
    return std::unique_ptr<Denoiser>(std::make_unique<FaultyDenoiser>(std::move(right).value(), faults_));
  }
  Result<std::unique_ptr<VideoDecoder>> load_video_decoder(const Checkpoint& file) override {
    if (faults_.decoder) return *faults_.decoder;
    Result<std::unique_ptr<VideoDecoder>> right = cpu_->load_video_decoder(file);
    if (!right) return right;
    return std::unique_ptr<VideoDecoder>(std::make_unique<FaultyDecoder>(std::move(right).value(), faults_));
  }
  Result<Tensor> int8_product(const Int8Blocks& x, const Int8Blocks& w) override {
    return cpu_->int8_product(x, w);
  }
  std::int64_t resident_bytes() const override { return cpu_->resident_bytes(); }

 private:
  std::unique_ptr<Backend> cpu_ = make_cpu_backend({1});
  Faults faults_;
};

Status check_with(Faults faults) {
  FaultyBackend device(std::move(faults));
  return check_models(device, *make_cpu_backend({1}));
}

TEST("a card that draws the small models as the CPU does passes") { CHECK(check_with({}).ok()); }

TEST("a card whose small clips are off, are no numbers or change from time to time is found out") {
  const Status off = check_with({.velocity = [](Tensor& v) {
    for (std::size_t i = 0; i < v.values.size() / 8; ++i) v.values[i] = 0;
  }});
  CHECK(!off.ok() && off.error().code == ErrorCode::internal);
  CHECK(mentions(off.error().message, {"sparse-linear", "is off by", "%"}));
  const Status no_number = check_with({.velocity = [](Tensor& v) { v.values.back() = 0.0f / 0.0f; }});
  CHECK(!no_number.ok());
  int calls = 0;
  const Status changing =
      check_with({.velocity = [&](Tensor& v) { v.values[7] += 1e-4f * static_cast<float>(++calls); }});
  CHECK(!changing.ok());
  CHECK(mentions(changing.error().message, {"differs when it is made again"}));
}

TEST("a card whose text rows are off, of the longest prompt alone, is found out") {
  const Status off = check_with({.rows = [](Tensor& rows) {
    if (rows.size(0) == 130) rows.values[7] += 30;
  }});
  CHECK(!off.ok() && off.error().code == ErrorCode::internal);
  CHECK(mentions(off.error().message, {"prompt", "is off by"}));
}

TEST("a card whose pictures are off is found out, and what else it fails with comes back as it is") {
  const Status off = check_with({.frames = [](Tensor& frames) {
    for (float& value : frames.values) value += 0.05f;
  }});
  CHECK(!off.ok() && off.error().code == ErrorCode::internal);
  CHECK(mentions(off.error().message, {"picture by the VAE", "is off by"}));
  const Status lost = check_with({.decoder = Error{ErrorCode::device_lost, "gone"}});
  CHECK(lost.error().code == ErrorCode::device_lost);
}

}  // namespace
}  // namespace turboclip::test
