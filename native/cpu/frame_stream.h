// The loop of every video decoder: one latent frame after another through a list of layers, so that memory
// does not grow with the clip.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "cpu/context.h"
#include "cpu/frames.h"
#include "engine/backend.h"

namespace turboclip::cpu {

/// One layer of a decoder: frames to frames. Those that look back in time remember the frames before.
class VaeLayer {
 public:
  virtual ~VaeLayer() = default;
  virtual Frames run(const Context& context, Frames x) = 0;
  /// Forgets the frames of the last clip.
  virtual void reset() = 0;
  virtual std::int64_t out() const = 0;  // channels
  virtual std::int64_t bytes() const = 0;
};

using VaeLayers = std::vector<std::unique_ptr<VaeLayer>>;

/// What a decoder does besides its layers.
struct FrameStream {
  /// Frame t of the latent as the first layer takes it.
  std::function<Frames(const Tensor& z, std::int64_t t)> latent_frame;
  /// Frames at the start of the clip that the layers make and that are no part of it.
  std::int64_t dropped = 0;
};

/// VideoDecoder::decode over the layers, the last of which makes RGB; stops between layers when asked to.
Status stream_frames(const Context& context, const VaeLayers& layers, const FrameStream& stream,
                     const Tensor& z, const FrameSink& sink, const CancelFlag& cancel,
                     const Progress& progress);

/// Frame t of z [channels, T, height, width], channels last.
Frames channels_last(const Tensor& z, std::int64_t t);

}  // namespace turboclip::cpu
