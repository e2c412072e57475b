// A video decoder on one device: the latent goes there whole, frames come back one latent frame at a time
// while the next is computed.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <memory>

#include "cuda/video_layers.h"
#include "engine/backend.h"

namespace turboclip::cuda {

/// A decoder's layers, and how it begins.
struct VideoModel {
  VideoLayers layers;
  RgbLayer* last = nullptr;       // of the layers
  std::int64_t dropped = 0;       // frames at the start of the clip that are no part of it
  std::int64_t first_makes = 1;   // frames that the first latent frame makes
  std::int64_t latent_makes = 1;  // and each after it
  float clamp = 0;                // of the latent (latent_frame()), 0: none

  std::int64_t weight_bytes() const;
  /// Sets every layer's `next` and finds the last.
  void link(RgbLayer* rgb);
};

/// Reads the decoder that the file's tensors say it is.
Result<VideoModel> load_video_model(Queue& queue, const Checkpoint& checkpoint);

class FrameDecoder {
 public:
  static Result<std::unique_ptr<FrameDecoder>> load(int device, const Checkpoint& checkpoint);

  std::int64_t weight_bytes() const { return model_.weight_bytes(); }
  /// Device memory that a clip of this latent takes beside the weights.
  std::int64_t clip_bytes(const ModelLatentShape& shape);

  /// Frames from `first` on, of shape [count, height, width, 3] in the host's memory, valid during the call;
  /// done: the share of the clip that they end.
  using Take = std::function<Status(std::int64_t first, const Shape& shape, const float* rgb, double done)>;
  struct Clip {
    const float* z;  // [16, frames, height, width]
    ModelLatentShape shape;
    Take take;
    std::function<bool()> stopped;  // asked between latent frames
  };
  Status decode(const Clip& clip);

 private:
  struct Landing;  // where frames arrive on the host

  FrameDecoder(std::unique_ptr<Queue> queue, VideoModel model)
      : queue_(std::move(queue)), model_(std::move(model)) {}

  Handed place(Arena& arena, const ModelLatentShape& shape);
  Status stream(const Clip& clip, const float* z, float* rgb);
  Status deliver(const Clip& clip, const Landing& landing, std::int64_t latent);
  std::int64_t first_of(std::int64_t latent) const;
  std::int64_t count_of(std::int64_t latent) const;
  Shape rgb_shape(std::int64_t latent) const;

  std::unique_ptr<Queue> queue_;
  VideoModel model_;
};

}  // namespace turboclip::cuda
