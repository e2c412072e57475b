#include <stdexcept>
#include <utility>

#include "cases.h"
#include "cpu/wan_dit.h"
#include "cpu/wan_vae.h"
#include "demo_models.h"
#include "engine/text.h"

namespace turboclip::bench {
namespace {

using cpu::Context;

constexpr DitSize kDit{256, 1'024, 4, 64};
constexpr std::int64_t kVaeDim = 16;
constexpr ModelLatentShape kLatent{9, 24, 32};  // 33 frames of 256 x 192
constexpr std::int64_t kTextRows = 20;
// Two float32 paths of different instructions through a whole model; each alone is 1e-6 from float64.
constexpr double kTolerance = 1e-4;

template <class T>
T take(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(result).value();
}

Tensor random_tensor(const Shape& shape, std::uint64_t seed) {
  Tensor tensor(shape);
  tensor.values = random_values(element_count(shape), seed);
  return tensor;
}

const Shape kState{16, kLatent.frames, kLatent.height, kLatent.width};

/// A loaded transformer with its clip begun, ready for steps.
class Transformer {
 public:
  Transformer(const Context& context, const Checkpoint& checkpoint, Attention attention)
      : model_(take(cpu::load_wan_dit(checkpoint, context, bytes_))) {
    take(model_->begin_clip(kLatent, {random_tensor({kTextRows, kDit.text_width}, 10), {}}, {attention, 0.1},
                            cancel_));
  }
  std::vector<float> step() {
    return take(model_->velocity(random_tensor(kState, 11), 988.0, cancel_, {}, {})).values;
  }

 private:
  std::int64_t bytes_ = 0;
  CancelFlag cancel_;
  std::unique_ptr<Denoiser> model_;
};

class Decoder {
 public:
  Decoder(const Context& context, const Checkpoint& checkpoint)
      : model_(take(cpu::load_wan_vae(checkpoint, context, bytes_))) {}
  std::vector<float> decode() {
    std::vector<float> video;
    const FrameSink sink = [&](std::int64_t, const Tensor& rgb) {
      video.insert(video.end(), rgb.values.begin(), rgb.values.end());
      return success();
    };
    take(model_->decode(random_tensor(kState, 12), sink, cancel_, {}));
    return video;
  }

 private:
  std::int64_t bytes_ = 0;
  CancelFlag cancel_;
  std::unique_ptr<VideoDecoder> model_;
};

}  // namespace

std::vector<Row> model_rows(const Context& context, const Context& reference) {
  std::vector<Row> rows;
  const ModelFile dit("dit", dit_tensors(kDit));
  for (const Attention attention : {Attention::sla, Attention::original}) {
    Transformer model(context, dit.checkpoint(), attention);
    const auto expected = Transformer(reference, dit.checkpoint(), attention).step();
    const double error = relative_error(model.step(), expected);
    rows.push_back(timed_if_right(
        {.what = concat("transformer, one step, ", attention == Attention::sla ? "SLA" : "dense"),
         .kernels = context.kernels.name,
         .error = error,
         .tolerance = kTolerance},
        [&] { model.step(); }));
  }
  const ModelFile vae("vae", vae_tensors(kVaeDim));
  Decoder model(context, vae.checkpoint());
  const auto expected = Decoder(reference, vae.checkpoint()).decode();
  const double error = relative_error(model.decode(), expected);
  rows.push_back(timed_if_right({.what = "VAE decoding, 33 frames of 256 x 192",
                                 .kernels = context.kernels.name,
                                 .error = error,
                                 .tolerance = kTolerance},
                                [&] { model.decode(); }));
  return rows;
}

}  // namespace turboclip::bench
