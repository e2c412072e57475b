#include "cuda/video_layers.h"

#include <algorithm>
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
  F16* input(int) override { return ring_.next(); }
  void run(Queue& queue, int) override {
    ring_.push();
    convolve(queue, ring_.input(), conv_.shape, {next().input(0), nullptr, relu_, nullptr});
    next().run(queue, 1);
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
    const FrameSize out = with_channels(in.size, second_.out());
    x_ = in.take(arena);
    const std::int64_t middle = Arena::aligned(out.bytes());
    const std::int64_t middles = (in.pairs ? kMostAtOnce : 1) * middle;
    unsigned char* scratch =
        arena.scratch(middles + std::max(first_.scratch_bytes(size_), second_.scratch_bytes(out)));
    for (int i = 0; i < kMostAtOnce; ++i) middle_[i] = reinterpret_cast<F16*>(scratch + i * middle);
    first_.place(arena, size_, scratch + middles);
    second_.place(arena, out, scratch + middles);
    if (shortcut_) return {out, in.pairs};
    // Each value of x is read by the thread that writes the sum in its place.
    return {out, in.pairs, x_};
  }
  F16* input(int frame) override { return x_[frame]; }
  void run(Queue& queue, int frames) override {
    first_.run(queue, x_, {ConvOutput{middle_[0]}, ConvOutput{middle_[1]}}, frames);
    std::array<ConvOutput, kMostAtOnce> sums;
    for (int i = 0; i < frames; ++i) {
      sums[i].values = next().input(i);
      sums[i].residual = x_[i];
      if (!shortcut_) continue;
      convolve(queue, only(x_[i], size_), shortcut_->shape, {sums[i].values});
      sums[i].residual = sums[i].values;
    }
    second_.run(queue, middle_, sums, frames);
    next().run(queue, frames);
  }
  void reset() override {
    first_.reset();
    second_.reset();
  }
  std::int64_t weight_bytes() const override {
    return first_.bytes() + second_.bytes() + (shortcut_ ? shortcut_->bytes() : 0);
  }

 private:
  NormedConv first_;
  NormedConv second_;
  std::optional<PackedConv> shortcut_;
  FrameSize size_;
  FramesAtOnce x_{};
  FramesAtOnce middle_{};
};

class AttentionLayer : public VideoLayer {
 public:
  explicit AttentionLayer(AttentionWeights weights) : w_(std::move(weights)) {}

  Handed place(Arena& arena, const Handed& in) override {
    size_ = in.size;
    x_ = in.take(arena);
    frame_bytes_ = Arena::aligned(size_.bytes());
    scratch_ = arena.scratch(4 * frame_bytes_ + AttentionScratch(size_.pixels(), size_.channels).bytes());
    return {size_, false, x_};
  }
  F16* input(int frame) override { return x_[frame]; }
  void run(Queue& queue, int) override {
    auto* normed = reinterpret_cast<F16*>(scratch_);
    auto* qk = reinterpret_cast<F16*>(scratch_ + frame_bytes_);
    auto* attended = reinterpret_cast<F16*>(scratch_ + 3 * frame_bytes_);
    pixel_norm(queue, {x_[0], size_.pixels(), size_.channels}, w_.gamma.data(), NormTail::none, normed);
    convolve(queue, only(normed, size_), w_.qk.shape, {qk});
    const float scale = 1.0f / std::sqrt(static_cast<float>(w_.channels));
    frame_attention(
        queue, {normed, qk, w_.value.data(), w_.value_bias.data(), size_.pixels(), size_.channels, scale},
        scratch_ + 4 * frame_bytes_, attended);
    convolve(queue, only(attended, size_), w_.proj.shape, {next().input(0), x_[0]});
    next().run(queue, 1);
  }
  std::int64_t weight_bytes() const override {
    return w_.gamma.bytes() + w_.qk.bytes() + w_.value.bytes() + w_.value_bias.bytes() + w_.proj.bytes();
  }

 private:
  AttentionWeights w_;
  FrameSize size_;
  std::int64_t frame_bytes_ = 0;
  FramesAtOnce x_{};
  unsigned char* scratch_ = nullptr;
};

class UpsampleLayer : public VideoLayer {
 public:
  UpsampleLayer(std::vector<PackedConv> time, PackedConv space)
      : time_(std::move(time)), space_(std::move(space)) {}

  Handed place(Arena& arena, const Handed& in) override {
    size_ = in.size;
    // A pair waits in place of the ring's next frames.
    ring_.place(arena, size_, time_.empty() ? 1 : time_.front().shape.frames, in.pairs ? 1 : 0);
    moment_ = reinterpret_cast<F16*>(arena.scratch(size_.bytes()));
    return {doubled(size_, space_.shape.out), in.pairs || !time_.empty()};
  }
  F16* input(int frame) override { return ring_.next(frame); }
  void run(Queue& queue, int frames) override {
    // The first frame of a clip stands for one moment, not for four: it is not doubled, nor seen by
    // time_conv.
    if (time_.empty() || first_) {
      first_ = false;
      for (int i = 0; i < frames; ++i) enlarge(queue, ring_.next(i), i);
      next().run(queue, frames);
      return;
    }
    for (int i = 0; i < frames; ++i) {
      ring_.push();
      int moment = 0;
      for (const PackedConv& half : time_) {
        convolve(queue, ring_.input(), half.shape, {moment_});
        enlarge(queue, moment_, moment++);
      }
      next().run(queue, moment);
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
  void enlarge(Queue& queue, const F16* x, int frame) {
    convolve(queue, only(x, size_), space_.shape, {next().input(frame)});
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
  F16* input(int) override { return ring_.next(); }
  void run(Queue& queue, int) override {
    ring_.push();
    auto* a = reinterpret_cast<F16*>(scratch_);
    auto* b = reinterpret_cast<F16*>(scratch_ + Arena::aligned(size_.bytes()));
    convolve(queue, ring_.input(), first_.shape, {a, nullptr, true});
    convolve(queue, only(a, size_), second_.shape, {b, nullptr, true});
    convolve(queue, only(b, size_), third_.shape, {next().input(0), ring_.newest(), true});
    next().run(queue, 1);
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
  F16* input(int) override { return x_; }
  void run(Queue& queue, int) override {
    for (const PackedConv& moment : moments_) {
      convolve(queue, only(x_, size_), moment.shape, {next().input(0), nullptr, relu_});
      next().run(queue, 1);
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

void NormedConv::place(Arena& arena, const FrameSize& in, unsigned char* scratch) {
  if (pairs_) {
    memory_.place(arena, in, scratch);
  } else {
    ring_.place(arena, in, conv_.shape.frames);
  }
}

void NormedConv::run(Queue& queue, const FramesAtOnce& x, const std::array<ConvOutput, kMostAtOnce>& y,
                     int frames) {
  if (pairs_ && frames == kMostAtOnce) {
    pair_norm(queue, memory_.norm({x[0], x[1]}), gamma_.data());
    memory_.push(frames);
    convolve_pair(queue, memory_.planes(), conv_.shape, y[0], y[1]);
    return;
  }
  for (int i = 0; i < frames; ++i) run_one(queue, x[i], y[i]);
}

void NormedConv::run_one(Queue& queue, const F16* x, const ConvOutput& y) {
  const auto norm = [&](const FrameSize& size, F16* out) {
    pixel_norm(queue, {x, size.pixels(), size.channels}, gamma_.data(), NormTail::silu, out);
  };
  if (pairs_) {
    // The clip's first frame, with nothing before it.
    norm(memory_.size(), memory_.first());
    memory_.push(1);
    convolve(queue, only(memory_.first(), memory_.size()), first_of_pair(conv_.shape), y);
    return;
  }
  norm(ring_.size(), ring_.next());
  ring_.push();
  convolve(queue, ring_.input(), conv_.shape, y);
}

void NormedConv::reset() {
  ring_.clear();
  memory_.clear();
}

Handed RgbLayer::place(Arena& arena, const Handed& in) {
  size_ = in.size;
  if (normed_) {
    x_ = in.take(arena);
    normed_->place(arena, size_, arena.scratch(normed_->scratch_bytes(size_)));
  } else {
    ring_.place(arena, size_, plain_->shape.frames);
  }
  return {};
}

F16* RgbLayer::input(int frame) { return normed_ ? x_[frame] : ring_.next(); }

void RgbLayer::run(Queue& queue, int frames) {
  if (normed_) {
    std::array<ConvOutput, kMostAtOnce> out;
    for (int i = 0; i < frames; ++i) out[i].rgb = rgb_ + i * 3 * size_.pixels();
    normed_->run(queue, x_, out, frames);
  } else {
    ring_.push();
    convolve(queue, ring_.input(), plain_->shape, {nullptr, nullptr, false, rgb_});
  }
  rgb_ += frames * 3 * size_.pixels();
}

void RgbLayer::reset() {
  ring_.clear();
  if (normed_) normed_->reset();
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
