#include "cpu/wan_vae_layers.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "cpu/attention.h"

namespace turboclip::cpu {
namespace {

enum class Tail { none, silu };

/// RMS_norm over the channels of each pixel, x / |x| * sqrt(C) * gamma, and SiLU if asked for.
class PixelNorm {
 public:
  static Result<PixelNorm> load(const Checkpoint& checkpoint, const std::string& name,
                                std::int64_t channels) {
    const TensorView* view = checkpoint.find(name);
    // gamma is [C, 1, 1, 1] before a 3-D convolution and [C, 1, 1] before a 2-D one.
    const Shape expected =
        view != nullptr && view->shape.size() == 3 ? Shape{channels, 1, 1} : Shape{channels, 1, 1, 1};
    Result<Tensor> gamma = checkpoint.require_float(name, expected);
    if (!gamma) return gamma.error();
    PixelNorm norm;
    norm.gamma_ = std::move(gamma->values);
    return norm;
  }

  void pixel(const Kernels& kernels, const float* x, float* out, Tail tail) const {
    const auto channels = static_cast<std::int64_t>(gamma_.size());
    // The floor of the length is torch.nn.functional.normalize's.
    const float length = std::max(std::sqrt(kernels.dot(x, x, channels)), 1e-12f);
    kernels.scaled(out, x, std::sqrt(static_cast<float>(channels)) / length, gamma_.data(), channels);
    if (tail == Tail::silu) kernels.silu(out, channels);
  }

 private:
  std::vector<float> gamma_;  // [C]
};

/// Writes every row of x into the convolution's bordered input, through `pixel(from, to)`.
template <class Pixel>
CausalConv::Input fill_input(const Context& context, const CausalConv& conv, const Frames& x,
                             const Pixel& pixel) {
  CausalConv::Input input = conv.make_input(x.count, x.height, x.width);
  context.pool.for_each(x.count * x.height, [&](std::int64_t task) {
    const float* from = x.values.data() + task * x.width * x.channels;
    float* to = input.frame(task / x.height) + task % x.height * input.row_stride();
    for (std::int64_t i = 0; i < x.width; ++i) pixel(from + i * x.channels, to + i * x.channels);
  });
  return input;
}

CausalConv::Input copy_input(const Context& context, const CausalConv& conv, const Frames& x) {
  return fill_input(context, conv, x,
                    [&](const float* from, float* to) { std::copy_n(from, x.channels, to); });
}

class ConvLayer : public VaeLayer {
 public:
  explicit ConvLayer(CausalConv conv) : conv_(std::move(conv)) {}
  Frames run(const Context& context, Frames x) override {
    return conv_.run(context, copy_input(context, conv_, x));
  }
  void reset() override { conv_.reset(); }
  std::int64_t out() const override { return conv_.out(); }
  std::int64_t bytes() const override { return conv_.bytes(); }

 private:
  CausalConv conv_;
};

class NormedConvLayer : public VaeLayer {
 public:
  NormedConvLayer(PixelNorm norm, CausalConv conv) : norm_(std::move(norm)), conv_(std::move(conv)) {}

  static Result<NormedConvLayer> load(const Checkpoint& checkpoint, const std::string& gamma,
                                      const std::string& conv, std::int64_t in) {
    Result<PixelNorm> norm = PixelNorm::load(checkpoint, gamma, in);
    if (!norm) return norm.error();
    Result<CausalConv> loaded = CausalConv::load(checkpoint, conv, in);
    if (!loaded) return loaded.error();
    return NormedConvLayer(std::move(norm).value(), std::move(loaded).value());
  }

  Frames convolve(const Context& context, const Frames& x) {
    return conv_.run(context, fill_input(context, conv_, x, [&](const float* from, float* to) {
                       norm_.pixel(context.kernels, from, to, Tail::silu);
                     }));
  }
  Frames run(const Context& context, Frames x) override { return convolve(context, x); }
  void reset() override { conv_.reset(); }
  std::int64_t out() const override { return conv_.out(); }
  std::int64_t bytes() const override { return conv_.bytes(); }

 private:
  PixelNorm norm_;
  CausalConv conv_;
};

class ResidualLayer : public VaeLayer {
 public:
  ResidualLayer(NormedConvLayer first, NormedConvLayer second, std::optional<LinearWeights> shortcut)
      : first_(std::move(first)), second_(std::move(second)), shortcut_(std::move(shortcut)) {}

  Frames run(const Context& context, Frames x) override {
    Frames y = second_.convolve(context, first_.convolve(context, x));
    if (shortcut_) {
      linear_add(context, x.values.data(), x.pixels(), *shortcut_, y.values.data(), nullptr);
      return y;
    }
    context.pool.for_each(y.count * y.height, [&](std::int64_t row) {
      const std::int64_t size = y.width * y.channels;
      context.kernels.axpy(y.values.data() + row * size, x.values.data() + row * size, 1.0f, size);
    });
    return y;
  }
  void reset() override {
    first_.reset();
    second_.reset();
  }
  std::int64_t out() const override { return second_.out(); }
  std::int64_t bytes() const override {
    return first_.bytes() + second_.bytes() + (shortcut_ ? shortcut_->bytes() : 0);
  }

 private:
  NormedConvLayer first_;
  NormedConvLayer second_;
  std::optional<LinearWeights> shortcut_;
};

class FrameAttentionLayer : public VaeLayer {
 public:
  FrameAttentionLayer(PixelNorm norm, LinearWeights qkv, LinearWeights proj)
      : norm_(std::move(norm)), qkv_(std::move(qkv)), proj_(std::move(proj)) {}

  Frames run(const Context& context, Frames x) override {
    const std::int64_t pixels = x.height * x.width;
    const std::int64_t c = x.channels;
    Floats normed(x.values.size());
    context.pool.for_each(x.count * x.height, [&](std::int64_t row) {
      for (std::int64_t i = row * x.width; i < (row + 1) * x.width; ++i) {
        norm_.pixel(context.kernels, x.values.data() + i * c, normed.data() + i * c, Tail::none);
      }
    });
    Floats qkv(3 * x.values.size());
    linear(context, normed.data(), x.pixels(), qkv_, qkv.data());
    for (std::int64_t frame = 0; frame < x.count; ++frame) {
      attend_frame(context, qkv.data() + frame * pixels * 3 * c, pixels, c,
                   normed.data() + frame * pixels * c);
    }
    linear_add(context, normed.data(), x.pixels(), proj_, x.values.data(), nullptr);
    return x;
  }
  void reset() override {}
  std::int64_t out() const override { return proj_.out; }
  std::int64_t bytes() const override { return qkv_.bytes() + proj_.bytes(); }

 private:
  /// qkv: [pixels, 3 c]; out: [pixels, c].
  static void attend_frame(const Context& context, const float* qkv, std::int64_t pixels, std::int64_t c,
                           float* out) {
    const PackedKeys keys = pack_keys({qkv + c, pixels, 3 * c, c}, {qkv + 2 * c, pixels, 3 * c, c});
    context.pool.for_each(ceil_div(pixels, kQueryBlock), [&](std::int64_t block) {
      const std::int64_t row = block * kQueryBlock;
      AttentionBlock queries;
      queries.q = qkv + row * 3 * c;
      queries.q_stride = 3 * c;
      queries.rows = std::min(kQueryBlock, pixels - row);
      queries.scale = 1.0f / std::sqrt(static_cast<float>(c));
      queries.out = out + row * c;
      queries.out_stride = c;
      attend(context.kernels, keys, queries);
    });
  }

  PixelNorm norm_;
  LinearWeights qkv_;   // [3 C, C]
  LinearWeights proj_;  // [C, C]
};

class UpsampleLayer : public VaeLayer {
 public:
  UpsampleLayer(std::optional<CausalConv> time, UpsampleConv space)
      : time_(std::move(time)), space_(std::move(space)) {}

  Frames run(const Context& context, Frames x) override {
    // The first frame of a clip stands for one moment, not for four: it is not doubled, nor seen by
    // time_conv.
    if (time_ && !first_) x = double_frames(context, x);
    first_ = false;
    return space_.run(context, x);
  }
  void reset() override {
    first_ = true;
    if (time_) time_->reset();
  }
  std::int64_t out() const override { return space_.out(); }
  std::int64_t bytes() const override { return space_.bytes() + (time_ ? time_->bytes() : 0); }

 private:
  /// time_conv makes twice the channels: the first half is a frame, the second half the frame after it.
  Frames double_frames(const Context& context, const Frames& x) {
    const Frames pairs = time_->run(context, copy_input(context, *time_, x));
    Frames out(2 * x.count, x.height, x.width, x.channels);
    const std::int64_t pixels = x.height * x.width;
    context.pool.for_each(out.count, [&](std::int64_t frame) {
      const float* from = pairs.values.data() + frame / 2 * pixels * pairs.channels + frame % 2 * x.channels;
      float* to = out.values.data() + frame * pixels * x.channels;
      for (std::int64_t i = 0; i < pixels; ++i)
        std::copy_n(from + i * pairs.channels, x.channels, to + i * x.channels);
    });
    return out;
  }

  std::optional<CausalConv> time_;
  UpsampleConv space_;
  bool first_ = true;
};

template <class Layer, class... Parts>
LoadedLayer made(Parts&&... parts) {
  return std::unique_ptr<VaeLayer>(std::make_unique<Layer>(std::forward<Parts>(parts)...));
}

}  // namespace

LoadedLayer load_conv_layer(const Checkpoint& checkpoint, const std::string& name, std::int64_t in) {
  Result<CausalConv> conv = CausalConv::load(checkpoint, name, in);
  if (!conv) return conv.error();
  return made<ConvLayer>(std::move(conv).value());
}

LoadedLayer load_normed_conv_layer(const Checkpoint& checkpoint, const std::string& gamma,
                                   const std::string& conv, std::int64_t in) {
  Result<NormedConvLayer> layer = NormedConvLayer::load(checkpoint, gamma, conv, in);
  if (!layer) return layer.error();
  return made<NormedConvLayer>(std::move(layer).value());
}

LoadedLayer load_residual_layer(const Checkpoint& checkpoint, const std::string& prefix, std::int64_t in) {
  const std::string residual = prefix + ".residual.";
  Result<NormedConvLayer> first = NormedConvLayer::load(checkpoint, residual + "0.gamma", residual + "2", in);
  if (!first) return first.error();
  const std::int64_t out = first->out();
  Result<NormedConvLayer> second =
      NormedConvLayer::load(checkpoint, residual + "3.gamma", residual + "6", out);
  if (!second) return second.error();
  std::optional<LinearWeights> shortcut;
  if (in != out) {
    Result<LinearWeights> loaded = load_linear(checkpoint, prefix + ".shortcut", out, in, Bias::required);
    if (!loaded) return loaded.error();
    shortcut = std::move(loaded).value();
  }
  return made<ResidualLayer>(std::move(first).value(), std::move(second).value(), std::move(shortcut));
}

LoadedLayer load_frame_attention_layer(const Checkpoint& checkpoint, const std::string& prefix,
                                       std::int64_t in) {
  Result<PixelNorm> norm = PixelNorm::load(checkpoint, prefix + ".norm.gamma", in);
  if (!norm) return norm.error();
  Result<LinearWeights> qkv = load_linear(checkpoint, prefix + ".to_qkv", 3 * in, in, Bias::required);
  if (!qkv) return qkv.error();
  Result<LinearWeights> proj = load_linear(checkpoint, prefix + ".proj", in, in, Bias::required);
  if (!proj) return proj.error();
  return made<FrameAttentionLayer>(std::move(norm).value(), std::move(qkv).value(), std::move(proj).value());
}

LoadedLayer load_upsample_layer(const Checkpoint& checkpoint, const std::string& prefix, std::int64_t in) {
  std::optional<CausalConv> time;
  if (checkpoint.find(prefix + ".time_conv.weight") != nullptr) {
    Result<CausalConv> loaded = CausalConv::load(checkpoint, prefix + ".time_conv", in);
    if (!loaded) return loaded.error();
    const Result<const TensorView*> doubled =
        checkpoint.require(prefix + ".time_conv.weight", {2 * in, in, 3, 1, 1});
    if (!doubled) return doubled.error();
    time = std::move(loaded).value();
  }
  Result<UpsampleConv> space = UpsampleConv::load(checkpoint, prefix + ".resample.1", in);
  if (!space) return space.error();
  return made<UpsampleLayer>(std::move(time), std::move(space).value());
}

}  // namespace turboclip::cpu
