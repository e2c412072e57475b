// The tensors of Wan's VAE decoder and of TAEHV, as layers on the device.
#include <cmath>
#include <string>
#include <utility>

#include "cuda/conv_tiles.h"
#include "cuda/frame_decoder.h"
#include "cuda/half.h"
#include "engine/checkpoint/architecture.h"
#include "engine/taehv_weights.h"
#include "engine/text.h"
#include "engine/wan_latent.h"

namespace turboclip::cuda {
namespace {

/// Reads layer after layer and remembers the first failure; what follows it is skipped.
class Builder {
 public:
  Builder(Queue& queue, const Checkpoint& checkpoint)
      : queue_(queue), checkpoint_(checkpoint), threads_(queue.counting() ? 1 : host_threads()) {}

  bool ok() const { return !failure_ && queue_.status().ok(); }
  /// Whether tensors have values.
  bool reads() const { return ok() && !queue_.counting(); }
  std::int64_t channels() const { return channels_; }
  bool has(const std::string& name) const { return checkpoint_.find(name) != nullptr; }

  template <class Value>
  Value take(Result<Value> loaded) {
    if (loaded) return std::move(loaded).value();
    if (!failure_) failure_ = loaded.error();
    return Value{};
  }
  Tensor tensor(const std::string& name, const Shape& shape) {
    if (!ok()) return {};
    if (!queue_.counting()) return take(checkpoint_.require_float(name, shape));
    Tensor sizes;  // and no values
    if (const TensorView* view = take(checkpoint_.require(name, shape))) sizes.shape = view->shape;
    return sizes;
  }

  /// `<name>.weight` [out, in, frames, k, k] and `<name>.bias`; sizes of -1 accept any.
  ConvTensors conv(const std::string& name, const Shape& shape) {
    ConvTensors tensors;
    tensors.weight = tensor(name + ".weight", shape);
    if (ok()) tensors.bias = tensor(name + ".bias", {tensors.weight.size(0)}).values;
    return tensors;
  }
  PackedConv pack(const ConvTensors& tensors) {
    return ok() ? pack_conv(queue_, threads_, tensors.weight, tensors.bias) : PackedConv{};
  }
  PackedConv pack_pair(const ConvTensors& tensors) {
    return ok() ? pack_pair_conv(queue_, threads_, tensors.weight, tensors.bias) : PackedConv{};
  }
  PackedConv pack_doubling(const Tensor& weight, const std::vector<float>& bias) {
    return ok() ? pack_doubling_conv(queue_, threads_, weight, bias) : PackedConv{};
  }

  /// gamma [channels], [C, 1, 1, 1] before a 3-D convolution and [C, 1, 1] before a 2-D one, times sqrt(C).
  DeviceArray<float> gamma(const std::string& name, std::int64_t channels) {
    const TensorView* view = checkpoint_.find(name);
    const bool plane = view != nullptr && view->shape.size() == 3;
    std::vector<float> values = tensor(name, plane ? Shape{channels, 1, 1} : Shape{channels, 1, 1, 1}).values;
    for (float& value : values) value *= std::sqrt(static_cast<float>(channels));
    values.resize(static_cast<std::size_t>(stored_channels(channels)));
    DeviceArray<float> out;
    if (ok()) upload(values, out);
    return out;
  }
  template <class Value>
  void upload(const std::vector<Value>& values, DeviceArray<Value>& out) {
    out.upload(queue_, values);
    (void)queue_.finish();  // before the host's copy goes
  }

  /// The layer, which makes `channels`.
  void add(std::unique_ptr<VideoLayer> layer, std::int64_t channels) {
    if (!ok()) return;
    model.layers.push_back(std::move(layer));
    channels_ = channels;
  }
  void finish(std::unique_ptr<RgbLayer> rgb) {
    if (!ok()) return;
    RgbLayer* last = rgb.get();
    model.layers.push_back(std::move(rgb));
    model.link(last);
  }
  void fail(Error error) {
    if (ok()) failure_ = std::move(error);
  }
  Result<VideoModel> result() {
    if (failure_) return *failure_;
    if (!queue_.status()) return queue_.status().error();
    return std::move(model);
  }

  VideoModel model;

 private:
  Queue& queue_;
  const Checkpoint& checkpoint_;
  ThreadPool threads_;
  std::int64_t channels_ = kLatentChannels;
  std::optional<Error> failure_;
};

std::int64_t rows(const ConvTensors& tensors) {
  return tensors.weight.shape.empty() ? 0 : tensors.weight.size(0);
}

/// Rows [first, first + count) of a convolution.
ConvTensors part(const ConvTensors& whole, std::int64_t first, std::int64_t count) {
  ConvTensors out;
  Shape shape = whole.weight.shape;
  shape[0] = count;
  const auto row = static_cast<std::ptrdiff_t>(element_count(shape) / count);
  out.weight.shape = shape;
  if (whole.weight.values.empty()) return out;  // counted
  const auto from = whole.weight.values.begin() + first * row;
  out.weight.values.assign(from, from + count * row);
  out.bias.assign(whole.bias.begin() + first, whole.bias.begin() + first + count);
  return out;
}

NormedConv normed_conv(Builder& from, const std::string& gamma, const ConvTensors& conv, bool pairs) {
  DeviceArray<float> gains = from.gamma(gamma, from.ok() ? conv.weight.size(1) : 0);
  return {std::move(gains), pairs ? from.pack_pair(conv) : from.pack(conv), pairs};
}

/// pairs: whether to convolve frames in twos, as they come after the clip's first.
void add_residual(Builder& to, const std::string& name, bool pairs) {
  const std::int64_t in = to.channels();
  const std::string residual = name + ".residual.";
  const ConvTensors widths = to.conv(residual + "2", {-1, in, 3, 3, 3});
  const std::int64_t out = rows(widths);
  NormedConv first = normed_conv(to, residual + "0.gamma", widths, pairs && in <= kMostPairChannels);
  NormedConv second = normed_conv(to, residual + "3.gamma", to.conv(residual + "6", {out, out, 3, 3, 3}),
                                  pairs && out <= kMostPairChannels);
  std::optional<PackedConv> shortcut;
  if (in != out) shortcut = to.pack(to.conv(name + ".shortcut", {out, in, 1, 1, 1}));
  to.add(make_residual_layer(std::move(first), std::move(second), std::move(shortcut)), out);
}

/// A 1x1 convolution over planes, [out, in, 1, 1], as one over frames.
ConvTensors plane_conv(Builder& from, const std::string& name, std::int64_t out, std::int64_t in) {
  ConvTensors tensors = from.conv(name, {out, in, 1, 1});
  if (from.ok()) tensors.weight.shape.push_back(1);
  return tensors;
}

void add_attention(Builder& to, const std::string& name) {
  const std::int64_t width = to.channels();
  const ConvTensors qkv = plane_conv(to, name + ".to_qkv", 3 * width, width);
  const ConvTensors proj = plane_conv(to, name + ".proj", width, width);
  AttentionWeights weights;
  weights.gamma = to.gamma(name + ".norm.gamma", width);
  weights.channels = width;
  if (!to.ok()) return;
  const std::int64_t stored = stored_channels(width);
  // Queries and keys begin at a multiple of 8 channels each.
  ConvTensors qk{Tensor({2 * stored, width, 1, 1, 1}),
                 std::vector<float>(static_cast<std::size_t>(2 * stored))};
  std::vector<F16> value(static_cast<std::size_t>(stored * stored));
  std::vector<float> value_bias(static_cast<std::size_t>(stored));
  for (std::int64_t row = 0; to.reads() && row < width; ++row) {
    for (std::int64_t half = 0; half < 2; ++half) {
      std::copy_n(qkv.weight.values.begin() + (half * width + row) * width, width,
                  qk.weight.values.begin() + (half * stored + row) * width);
      qk.bias[half * stored + row] = qkv.bias[half * width + row];
    }
    for (std::int64_t i = 0; i < width; ++i) {
      value[row * stored + i] = to_f16(qkv.weight.values[(2 * width + row) * width + i]);
    }
    value_bias[row] = qkv.bias[2 * width + row];
  }
  weights.qk = to.pack(qk);
  weights.proj = to.pack(proj);
  to.upload(value, weights.value);
  to.upload(value_bias, weights.value_bias);
  to.add(make_attention_layer(std::move(weights)), width);
}

void add_upsample(Builder& to, const std::string& name) {
  const std::int64_t in = to.channels();
  std::vector<PackedConv> time;
  if (to.has(name + ".time_conv.weight")) {
    const ConvTensors both = to.conv(name + ".time_conv", {2 * in, in, 3, 1, 1});
    for (std::int64_t half = 0; half < 2 && to.ok(); ++half)
      time.push_back(to.pack(part(both, half * in, in)));
  }
  const ConvTensors space = to.conv(name + ".resample.1", {-1, in, 3, 3});
  to.add(make_upsample_layer(std::move(time), to.pack_doubling(space.weight, space.bias)), rows(space));
}

/// conv2, with the latent's normalisation undone in its weights.
void add_post_quant(Builder& to) {
  ConvTensors conv = to.conv("conv2", {kLatentChannels, kLatentChannels, 1, 1, 1});
  for (std::int64_t i = 0; to.reads() && i < kLatentChannels * kLatentChannels; ++i) {
    float& weight = conv.weight.values[i];
    conv.bias[i / kLatentChannels] += weight * kLatentMean[i % kLatentChannels];
    weight *= kLatentDeviation[i % kLatentChannels];
  }
  to.add(make_conv_layer(to.pack(conv), false), kLatentChannels);
}

Result<VideoModel> load_vae(Queue& queue, const Checkpoint& checkpoint) {
  Builder builder(queue, checkpoint);
  add_post_quant(builder);
  const ConvTensors first = builder.conv("decoder.conv1", {-1, kLatentChannels, 3, 3, 3});
  builder.add(make_conv_layer(builder.pack(first), false), rows(first));
  add_residual(builder, "decoder.middle.0", false);
  add_attention(builder, "decoder.middle.1");
  add_residual(builder, "decoder.middle.2", false);
  std::int64_t factor = 1;
  for (std::int64_t i = 0; builder.ok(); ++i) {
    const std::string name = concat("decoder.upsamples.", i);
    if (builder.has(name + ".residual.0.gamma")) {
      const bool pay = factor < kSpatialFactor || pairs_pay_at_full_size(queue.device());
      add_residual(builder, name, builder.model.latent_makes > 1 && pay);
    } else if (builder.has(name + ".resample.1.weight")) {
      builder.model.latent_makes *= builder.has(name + ".time_conv.weight") ? 2 : 1;
      add_upsample(builder, name);
      factor *= 2;
    } else {
      break;
    }
  }
  if (factor != kSpatialFactor) {
    builder.fail({ErrorCode::architecture_unknown,
                  concat(checkpoint.path().string(), ": the decoder enlarges ", factor, " times, expected ",
                         kSpatialFactor,
                         "; a decoder.upsamples layer is missing or the file is of another "
                         "model")});
  }
  builder.finish(std::make_unique<RgbLayer>(
      normed_conv(builder, "decoder.head.0.gamma",
                  builder.conv("decoder.head.2", {3, builder.channels(), 3, 3, 3}), false)));
  return builder.result();
}

Result<VideoModel> load_taehv(Queue& queue, const Checkpoint& checkpoint) {
  Builder builder(queue, checkpoint);
  const auto name = [](int number) { return concat("decoder.", number); };
  const auto conv = [&](const std::string& of, std::int64_t out, std::int64_t in) {
    return builder.ok() ? builder.take(load_taehv_conv(checkpoint, of, out, in)) : ConvTensors{};
  };
  const ConvTensors first = conv(name(1), -1, kLatentChannels);
  builder.add(make_conv_layer(builder.pack(first), true), rows(first));
  for (const TaehvLevel& level : kTaehvLevels) {
    const std::int64_t in = builder.channels();
    for (int i = 0; i < kTaehvBlocks && builder.ok(); ++i) {
      const std::string block = name(level.memory + i) + ".conv.";
      PackedConv memory = builder.pack(builder.take(load_taehv_memory_conv(checkpoint, block + "0", in)));
      PackedConv second = builder.pack(conv(block + "2", in, in));
      PackedConv third = builder.pack(conv(block + "4", in, in));
      builder.add(make_memory_layer(std::move(memory), std::move(second), std::move(third)), in);
    }
    if (!builder.ok()) break;
    const TaehvGrow grow{name(level.grow), name(level.grow + 1), level.stride};
    const std::vector<Tensor> weights = builder.take(load_taehv_grow_convs(checkpoint, grow, in));
    if (!builder.ok()) break;
    const std::int64_t out = weights.front().size(0);
    std::vector<PackedConv> moments;
    for (const Tensor& weight : weights) {
      moments.push_back(builder.pack_doubling(weight, std::vector<float>(static_cast<std::size_t>(out))));
    }
    // decoder.21, a ReLU, follows the last.
    builder.add(make_grow_layer(std::move(moments), &level == std::end(kTaehvLevels) - 1), out);
  }
  const ConvTensors rgb = builder.ok()
                              ? builder.take(load_taehv_rgb_conv(checkpoint, name(22), builder.channels()))
                              : ConvTensors{};
  builder.finish(std::make_unique<RgbLayer>(builder.pack(rgb)));
  builder.model.clamp = kTaehvClamp;
  builder.model.first_makes = 4;
  builder.model.latent_makes = 4;
  builder.model.dropped = kTaehvDroppedFrames;
  return builder.result();
}

}  // namespace

Result<VideoModel> load_video_model(Queue& queue, const Checkpoint& checkpoint) {
  // The file's tensors say which decoder it is.
  if (is_architecture(checkpoint, Architecture::taehv)) return load_taehv(queue, checkpoint);
  const Status known = require_architecture(checkpoint, Architecture::wan_vae);
  if (!known) return known.error();
  return load_vae(queue, checkpoint);
}

}  // namespace turboclip::cuda
