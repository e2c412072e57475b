// The layers of the video decoders. A frame goes through all of them before the next one begins: a layer
// takes it at input(), writes what it makes of it to the next layer's input(), and runs that. So a layer that
// makes two frames of one runs the rest twice, and no layer holds more frames than it looks back on.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "cuda/conv_weights.h"
#include "cuda/frame_memory.h"

namespace turboclip::cuda {

/// A frame's size, and the buffer in which the layer before left one of this size that nobody else reads.
struct Handed {
  FrameSize size;
  std::optional<F16*> free{};
};

class VideoLayer {
 public:
  virtual ~VideoLayer() = default;
  /// Takes its places in the arena; returns what the next layer is given.
  virtual Handed place(Arena& arena, const Handed& in) = 0;
  /// Where the next frame is to be written.
  virtual F16* input() = 0;
  /// Takes the frame at input().
  virtual void run(Queue& queue) = 0;
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

/// RMS norm over the channels of a pixel, SiLU and a causal convolution.
struct NormedConv {
  DeviceArray<float> gamma;  // [stored channels], times sqrt(channels)
  PackedConv conv;
  FrameRing ring{};

  void place(Arena& arena, const FrameSize& in) { ring.place(arena, in, conv.shape.frames); }
  void run(Queue& queue, const F16* x, const ConvOutput& y);
  std::int64_t bytes() const { return gamma.bytes() + conv.bytes(); }
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
  F16* input() override;
  void run(Queue& queue) override;
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
  F16* x_ = nullptr;  // of the one with a norm
  float* rgb_ = nullptr;
};

}  // namespace turboclip::cuda
