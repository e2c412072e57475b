#include "cuda/video_layers.h"

#include <cmath>
#include <utility>

#include "cuda/frame_attention.h"
#include "cuda/video_passes.h"

namespace turboclip::cuda {
namespace {

/// One frame as a convolution's input.
ConvInput only(const F16* x, const FrameSize& size) {
  return {{x, nullptr, nullptr}, size.height, size.width, size.channels};
}

FrameSize with_channels(FrameSize size, int channels) {
  size.channels = channels;
  return size;
}
FrameSize doubled(const FrameSize& size, int channels) { return {2 * size.height, 2 * size.width, channels}; }

class ConvLayer : public VideoLayer {
 public:
  ConvLayer(PackedConv conv, bool relu) : conv_(std::move(conv)), relu_(relu) {}

  Handed place(Arena& arena, const Handed& in) override {
    ring_.place(arena, in.size, conv_.shape.frames);
    return {with_channels(in.size, conv_.shape.out)};
  }
  F16* input() override { return ring_.next(); }
  void run(Queue& queue) override {
    ring_.push();
    convolve(queue, ring_.input(), conv_.shape, {next().input(), nullptr, relu_, nullptr});
    next().run(queue);
  }
  void reset() override { ring_.clear(); }
  std::int64_t weight_bytes() const override { return conv_.bytes(); }

 private:
  PackedConv conv_;
  bool relu_;
  FrameRing ring_;
};

class ResidualLayer : public VideoLayer {
 public:
  ResidualLayer(NormedConv first, NormedConv second, std::optional<PackedConv> shortcut)
      : first_(std::move(first)), second_(std::move(second)), shortcut_(std::move(shortcut)) {}

  Handed place(Arena& arena, const Handed& in) override {
    size_ = in.size;
    const FrameSize out = with_channels(in.size, second_.conv.shape.out);
    x_ = in.free ? *in.free : arena.keep(size_.bytes());
    first_.place(arena, size_);
    second_.place(arena, out);
    middle_ = reinterpret_cast<F16*>(arena.scratch(out.bytes()));
    // Each value of x is read by the thread that writes the sum in its place.
    return shortcut_ ? Handed{out} : Handed{out, x_};
  }
  F16* input() override { return x_; }
  void run(Queue& queue) override {
    F16* out = next().input();
    first_.run(queue, x_, {middle_});
    const F16* skip = x_;
    if (shortcut_) {
      convolve(queue, only(x_, size_), shortcut_->shape, {out});
      skip = out;
    }
    second_.run(queue, middle_, {out, skip});
    next().run(queue);
  }
  void reset() override {
    first_.ring.clear();
    second_.ring.clear();
  }
  std::int64_t weight_bytes() const override {
    return first_.bytes() + second_.bytes() + (shortcut_ ? shortcut_->bytes() : 0);
  }

 private:
  NormedConv first_;
  NormedConv second_;
  std::optional<PackedConv> shortcut_;
  FrameSize size_;
  F16* x_ = nullptr;
  F16* middle_ = nullptr;
};

class AttentionLayer : public VideoLayer {
 public:
  explicit AttentionLayer(AttentionWeights weights) : w_(std::move(weights)) {}

  Handed place(Arena& arena, const Handed& in) override {
    size_ = in.size;
    x_ = in.free ? *in.free : arena.keep(size_.bytes());
    frame_bytes_ = Arena::aligned(size_.bytes());
    scratch_ = arena.scratch(4 * frame_bytes_ + AttentionScratch(size_.pixels(), size_.channels).bytes());
    return {size_, x_};
  }
  F16* input() override { return x_; }
  void run(Queue& queue) override {
    auto* normed = reinterpret_cast<F16*>(scratch_);
    auto* qk = reinterpret_cast<F16*>(scratch_ + frame_bytes_);
    auto* attended = reinterpret_cast<F16*>(scratch_ + 3 * frame_bytes_);
    pixel_norm(queue, {x_, size_.pixels(), size_.channels}, w_.gamma.data(), NormTail::none, normed);
    convolve(queue, only(normed, size_), w_.qk.shape, {qk});
    const float scale = 1.0f / std::sqrt(static_cast<float>(w_.channels));
    frame_attention(
        queue, {normed, qk, w_.value.data(), w_.value_bias.data(), size_.pixels(), size_.channels, scale},
        scratch_ + 4 * frame_bytes_, attended);
    convolve(queue, only(attended, size_), w_.proj.shape, {next().input(), x_});
    next().run(queue);
  }
  std::int64_t weight_bytes() const override {
    return w_.gamma.bytes() + w_.qk.bytes() + w_.value.bytes() + w_.value_bias.bytes() + w_.proj.bytes();
  }

 private:
  AttentionWeights w_;
  FrameSize size_;
  std::int64_t frame_bytes_ = 0;
  F16* x_ = nullptr;
  unsigned char* scratch_ = nullptr;
};

class UpsampleLayer : public VideoLayer {
 public:
  UpsampleLayer(std::vector<PackedConv> time, PackedConv space)
      : time_(std::move(time)), space_(std::move(space)) {}

  Handed place(Arena& arena, const Handed& in) override {
    size_ = in.size;
    ring_.place(arena, size_, time_.empty() ? 1 : time_.front().shape.frames);
    moment_ = reinterpret_cast<F16*>(arena.scratch(size_.bytes()));
    return {doubled(size_, space_.shape.out)};
  }
  F16* input() override { return ring_.next(); }
  void run(Queue& queue) override {
    // The first frame of a clip stands for one moment, not for four: it is not doubled, nor seen by
    // time_conv.
    if (time_.empty() || first_) {
      first_ = false;
      enlarge(queue, ring_.next());
      return;
    }
    ring_.push();
    for (const PackedConv& half : time_) {
      convolve(queue, ring_.input(), half.shape, {moment_});
      enlarge(queue, moment_);
    }
  }
  void reset() override {
    first_ = true;
    ring_.clear();
  }
  std::int64_t weight_bytes() const override {
    std::int64_t total = space_.bytes();
    for (const PackedConv& half : time_) total += half.bytes();
    return total;
  }

 private:
  void enlarge(Queue& queue, const F16* x) {
    convolve(queue, only(x, size_), space_.shape, {next().input()});
    next().run(queue);
  }

  std::vector<PackedConv> time_;
  PackedConv space_;
  FrameSize size_;
  FrameRing ring_;
  F16* moment_ = nullptr;
  bool first_ = true;
};

class MemoryLayer : public VideoLayer {
 public:
  MemoryLayer(PackedConv first, PackedConv second, PackedConv third)
      : first_(std::move(first)), second_(std::move(second)), third_(std::move(third)) {}

  Handed place(Arena& arena, const Handed& in) override {
    size_ = in.size;
    ring_.place(arena, size_, first_.shape.frames);
    scratch_ = arena.scratch(2 * Arena::aligned(size_.bytes()));
    return {size_};
  }
  F16* input() override { return ring_.next(); }
  void run(Queue& queue) override {
    ring_.push();
    auto* a = reinterpret_cast<F16*>(scratch_);
    auto* b = reinterpret_cast<F16*>(scratch_ + Arena::aligned(size_.bytes()));
    convolve(queue, ring_.input(), first_.shape, {a, nullptr, true});
    convolve(queue, only(a, size_), second_.shape, {b, nullptr, true});
    convolve(queue, only(b, size_), third_.shape, {next().input(), ring_.newest(), true});
    next().run(queue);
  }
  void reset() override { ring_.clear(); }
  std::int64_t weight_bytes() const override { return first_.bytes() + second_.bytes() + third_.bytes(); }

 private:
  PackedConv first_;  // over the frame before and the present one
  PackedConv second_;
  PackedConv third_;
  FrameSize size_;
  FrameRing ring_;
  unsigned char* scratch_ = nullptr;
};

class GrowLayer : public VideoLayer {
 public:
  GrowLayer(std::vector<PackedConv> moments, bool relu) : moments_(std::move(moments)), relu_(relu) {}

  Handed place(Arena& arena, const Handed& in) override {
    size_ = in.size;
    x_ = arena.keep(size_.bytes());
    return {doubled(size_, moments_.front().shape.out)};
  }
  F16* input() override { return x_; }
  void run(Queue& queue) override {
    for (const PackedConv& moment : moments_) {
      convolve(queue, only(x_, size_), moment.shape, {next().input(), nullptr, relu_});
      next().run(queue);
    }
  }
  std::int64_t weight_bytes() const override {
    std::int64_t total = 0;
    for (const PackedConv& moment : moments_) total += moment.bytes();
    return total;
  }

 private:
  std::vector<PackedConv> moments_;  // by position among the frames made of one
  bool relu_;
  FrameSize size_;
  F16* x_ = nullptr;
};

}  // namespace

void NormedConv::run(Queue& queue, const F16* x, const ConvOutput& y) {
  const ConvInput in = ring.input();
  pixel_norm(queue, {x, std::int64_t{in.height} * in.width, in.channels}, gamma.data(), NormTail::silu,
             ring.next());
  ring.push();
  convolve(queue, ring.input(), conv.shape, y);
}

Handed RgbLayer::place(Arena& arena, const Handed& in) {
  size_ = in.size;
  if (normed_) {
    x_ = in.free ? *in.free : arena.keep(size_.bytes());
    normed_->place(arena, size_);
  } else {
    ring_.place(arena, size_, plain_->shape.frames);
  }
  return {};
}

F16* RgbLayer::input() { return normed_ ? x_ : ring_.next(); }

void RgbLayer::run(Queue& queue) {
  const ConvOutput out{nullptr, nullptr, false, rgb_};
  if (normed_) {
    normed_->run(queue, x_, out);
  } else {
    ring_.push();
    convolve(queue, ring_.input(), plain_->shape, out);
  }
  rgb_ += 3 * size_.pixels();
}

void RgbLayer::reset() {
  ring_.clear();
  if (normed_) normed_->ring.clear();
}

std::unique_ptr<VideoLayer> make_conv_layer(PackedConv conv, bool relu) {
  return std::make_unique<ConvLayer>(std::move(conv), relu);
}
std::unique_ptr<VideoLayer> make_residual_layer(NormedConv first, NormedConv second,
                                                std::optional<PackedConv> shortcut) {
  return std::make_unique<ResidualLayer>(std::move(first), std::move(second), std::move(shortcut));
}
std::unique_ptr<VideoLayer> make_attention_layer(AttentionWeights weights) {
  return std::make_unique<AttentionLayer>(std::move(weights));
}
std::unique_ptr<VideoLayer> make_upsample_layer(std::vector<PackedConv> time, PackedConv space) {
  return std::make_unique<UpsampleLayer>(std::move(time), std::move(space));
}
std::unique_ptr<VideoLayer> make_memory_layer(PackedConv first, PackedConv second, PackedConv third) {
  return std::make_unique<MemoryLayer>(std::move(first), std::move(second), std::move(third));
}
std::unique_ptr<VideoLayer> make_grow_layer(std::vector<PackedConv> moments, bool relu) {
  return std::make_unique<GrowLayer>(std::move(moments), relu);
}

}  // namespace turboclip::cuda
