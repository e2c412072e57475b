#include "cpu/wan_vae.h"

#include <string>
#include <utility>

#include "cpu/frame_stream.h"
#include "cpu/wan_vae_layers.h"
#include "engine/checkpoint/architecture.h"
#include "engine/text.h"
#include "engine/wan_latent.h"

namespace turboclip::cpu {
namespace {

class WanVaeDecoder : public VideoDecoder {
 public:
  WanVaeDecoder(const Context& context, LinearWeights post_quant, VaeLayers layers)
      : context_(context), post_quant_(std::move(post_quant)), layers_(std::move(layers)) {}

  Status decode(const Tensor& z, const FrameSink& sink, const CancelFlag& cancel,
                const Progress& progress) override {
    const FrameStream stream{[this](const Tensor& latent, std::int64_t t) { return latent_frame(latent, t); },
                             0};
    return stream_frames(context_, layers_, stream, z, sink, cancel, progress);
  }

 private:
  /// Frame t of z, de-normalised and through conv2, channels last.
  Frames latent_frame(const Tensor& z, std::int64_t t) const {
    Frames raw = channels_last(z, t);
    for (std::int64_t i = 0; i < raw.pixels() * kLatentChannels; ++i) {
      raw.values[i] =
          raw.values[i] * kLatentDeviation[i % kLatentChannels] + kLatentMean[i % kLatentChannels];
    }
    Frames out = raw;
    linear(context_, raw.values.data(), raw.pixels(), post_quant_, out.values.data());
    return out;
  }

  Context context_;
  LinearWeights post_quant_;  // conv2, [16, 16]
  VaeLayers layers_;
};

/// The layers in order, each loaded for the channels that the one before it makes.
class LayerStack {
 public:
  LayerStack(const Checkpoint& checkpoint, std::int64_t channels)
      : checkpoint_(checkpoint), channels_(channels) {}

  using Loader = LoadedLayer (*)(const Checkpoint&, const std::string&, std::int64_t);
  void add(Loader loader, const std::string& name) {
    if (status_) take(loader(checkpoint_, name, channels_));
  }
  void add_head(const std::string& prefix) {
    if (status_) take(load_normed_conv_layer(checkpoint_, prefix + ".0.gamma", prefix + ".2", channels_));
  }
  std::int64_t channels() const { return channels_; }
  const Status& status() const { return status_; }
  VaeLayers take_layers() { return std::move(layers_); }

 private:
  void take(LoadedLayer layer) {
    if (!layer) {
      status_ = layer.error();
      return;
    }
    channels_ = layer.value()->out();
    layers_.push_back(std::move(layer).value());
  }

  const Checkpoint& checkpoint_;
  std::int64_t channels_;
  Status status_ = success();
  VaeLayers layers_;
};

}  // namespace

Result<std::unique_ptr<VideoDecoder>> load_wan_vae(const Checkpoint& checkpoint, const Context& context,
                                                   std::int64_t& resident_bytes) {
  const Status known = require_architecture(checkpoint, Architecture::wan_vae);
  if (!known) return known.error();
  Result<LinearWeights> post_quant =
      load_linear(checkpoint, "conv2", kLatentChannels, kLatentChannels, Bias::required);
  if (!post_quant) return post_quant.error();
  LayerStack stack(checkpoint, kLatentChannels);
  stack.add(load_conv_layer, "decoder.conv1");
  stack.add(load_residual_layer, "decoder.middle.0");
  stack.add(load_frame_attention_layer, "decoder.middle.1");
  stack.add(load_residual_layer, "decoder.middle.2");
  std::int64_t factor = 1;
  for (std::int64_t i = 0;; ++i) {
    const std::string name = concat("decoder.upsamples.", i);
    if (checkpoint.find(name + ".residual.0.gamma") != nullptr) {
      stack.add(load_residual_layer, name);
    } else if (checkpoint.find(name + ".resample.1.weight") != nullptr) {
      stack.add(load_upsample_layer, name);
      factor *= 2;
    } else {
      break;
    }
  }
  stack.add_head("decoder.head");
  if (!stack.status()) return stack.status().error();
  if (factor != kSpatialFactor || stack.channels() != 3) {
    return Error{
        ErrorCode::architecture_unknown,
        concat(checkpoint.path().string(), ": the decoder enlarges ", factor, " times to ", stack.channels(),
               " channels, expected ", kSpatialFactor, " times to 3; a decoder.upsamples",
               " layer is missing or the file is of another model")};
  }
  VaeLayers layers = stack.take_layers();
  resident_bytes += post_quant->bytes();
  for (const auto& layer : layers) resident_bytes += layer->bytes();
  return std::unique_ptr<VideoDecoder>(
      std::make_unique<WanVaeDecoder>(context, std::move(post_quant).value(), std::move(layers)));
}

}  // namespace turboclip::cpu
