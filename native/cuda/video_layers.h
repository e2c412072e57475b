// The layers of the video decoders. A frame goes through all of them before the next one begins: a layer
// takes it at input(), writes what it makes of it to the next layer's input(), and runs that. So a layer that
// makes two frames of one runs the rest twice, and no layer holds more frames than it looks back on. In Wan's
// VAE the two of a doubling in time stay together, since its convolutions take pairs for less (conv_pair.h).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cuda/conv_weights.h"
#include "cuda/frame_memory.h"

namespace turboclip::cuda {

/// Frames that one run of a layer takes, in turn.
inline constexpr int kMostAtOnce = 2;
using FramesAtOnce = std::array<F16*, kMostAtOnce>;

/// What a layer is given: the frames' size, whether they come in pairs after the clip's first, and the
/// buffers in which the layer before left such frames that nobody else reads.
struct Handed {
  FrameSize size;
  bool pairs = false;
  std::optional<FramesAtOnce> free{};

  /// Those buffers, or as many new ones as may come at once.
  FramesAtOnce take(Arena& arena) const {
    if (free) return *free;
    return {arena.keep(size.bytes()), pairs ? arena.keep(size.bytes()) : nullptr};
  }
};

class VideoLayer {
 public:
  virtual ~VideoLayer() = default;
  /// Takes its places in the arena; returns what the next layer is given.
  virtual Handed place(Arena& arena, const Handed& in) = 0;
  /// Where the next frame is to be written, or with 1 the one after it.
  virtual F16* input(int frame) = 0;
  /// Takes one frame at input(0), or two of a pair.
  virtual void run(Queue& queue, int frames) = 0;
  /// Forgets the frames of the last clip.
  virtual void reset() {}
  virtual std::int64_t weight_bytes() const = 0;

  void set_next(VideoLayer* next) { next_ = next; }

 protected:
  VideoLayer& next() { return *next_; }

 private:
  VideoLayer* next_ = nullptr;
};

using VideoLayers = std::vector<std::unique_ptr<VideoLayer>>;

/// RMS norm over the channels of a pixel, SiLU and a causal convolution over three frames.
class NormedConv {
 public:
  NormedConv() = default;
  /// gamma: [stored channels], times sqrt(channels). conv: of pack_pair_conv if `pairs`.
  NormedConv(DeviceArray<float> gamma, PackedConv conv, bool pairs)
      : gamma_(std::move(gamma)), conv_(std::move(conv)), pairs_(pairs) {}

  int out() const { return conv_.shape.out; }
  std::int64_t bytes() const { return gamma_.bytes() + conv_.bytes(); }
  /// Bytes of memory that nobody else may use while it runs.
  std::int64_t scratch_bytes(const FrameSize& in) const { return pairs_ ? PairMemory::plane_bytes(in) : 0; }
  void place(Arena& arena, const FrameSize& in, unsigned char* scratch);
  void run(Queue& queue, const FramesAtOnce& x, const std::array<ConvOutput, kMostAtOnce>& y, int frames);
  void reset();

 private:
  void run_one(Queue& queue, const F16* x, const ConvOutput& y);

  DeviceArray<float> gamma_;
  PackedConv conv_;
  bool pairs_ = false;
  FrameRing ring_{};     // of frames that come one by one
  PairMemory memory_{};  // of pairs
};

/// Convolution, and ReLU if asked for.
std::unique_ptr<VideoLayer> make_conv_layer(PackedConv conv, bool relu);

/// x, or shortcut(x), + second(first(x)).
std::unique_ptr<VideoLayer> make_residual_layer(NormedConv first, NormedConv second,
                                                std::optional<PackedConv> shortcut);

/// x + proj(attention of one head over the norm of x); qk: 1x1 convolution to queries and keys.
struct AttentionWeights {
  DeviceArray<float> gamma;
  PackedConv qk;
  DeviceArray<F16> value;         // [stored channels, stored channels]
  DeviceArray<float> value_bias;  // [stored channels]
  PackedConv proj;
  std::int64_t channels;
};
std::unique_ptr<VideoLayer> make_attention_layer(AttentionWeights weights);

/// Doubling of height and width. `time` is empty, or the two halves of time_conv, which make two frames of
/// each but the clip's first.
std::unique_ptr<VideoLayer> make_upsample_layer(std::vector<PackedConv> time, PackedConv space);

/// TAEHV's MemBlock.
std::unique_ptr<VideoLayer> make_memory_layer(PackedConv first, PackedConv second, PackedConv third);

/// TAEHV's doubling and TGrow: one convolution for each frame that is made of one; ReLU if asked for.
std::unique_ptr<VideoLayer> make_grow_layer(std::vector<PackedConv> moments, bool relu);

/// The last: RGB in float32, to where it is told.
class RgbLayer : public VideoLayer {
 public:
  explicit RgbLayer(PackedConv conv) : plain_(std::move(conv)) {}
  explicit RgbLayer(NormedConv conv) : normed_(std::move(conv)) {}

  Handed place(Arena& arena, const Handed& in) override;
  F16* input(int frame) override;
  void run(Queue& queue, int frames) override;
  void reset() override;
  std::int64_t weight_bytes() const override { return normed_ ? normed_->bytes() : plain_->bytes(); }

  /// The frames that follow go to rgb [frames, height, width, 3].
  void set_output(float* rgb) { rgb_ = rgb; }
  const FrameSize& size() const { return size_; }

 private:
  std::optional<PackedConv> plain_;
  std::optional<NormedConv> normed_;
  FrameRing ring_;  // of the plain one
  FrameSize size_;
  FramesAtOnce x_{};  // of the one with a norm
  float* rgb_ = nullptr;
};

}  // namespace turboclip::cuda
