// A video decoder on one device: the latent goes there whole, frames come back one latent frame at a time
// while the next is computed.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "cuda/device_share.h"
#include "cuda/pinned.h"
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
  /// Places the layers' frames for a latent of this shape.
  void place(Arena& arena, const ModelLatentShape& shape);
  /// Sets every layer's `next` and finds the last.
  void link(RgbLayer* rgb);
};

/// Reads the decoder that the file's tensors say it is.
Result<VideoModel> load_video_model(Queue& queue, const Checkpoint& checkpoint);

/// Device memory that decoding a latent of this shape takes beside the weights. Leaves the layers without
/// places.
std::int64_t decoding_bytes(VideoModel& model, const ModelLatentShape& shape);

class FrameDecoder {
 public:
  /// memory_limit: as MemoryShare takes it.
  static Result<std::unique_ptr<FrameDecoder>> load(int device, const Checkpoint& checkpoint,
                                                    std::int64_t memory_limit = 0);

  std::int64_t weight_bytes() const { return held_.bytes(); }
  /// To be held by whoever uses it while others use the device.
  std::mutex& computing() const { return memory_.holdings().computing; }
  /// Device memory that a clip of this latent takes beside the weights.
  std::int64_t clip_bytes(const ModelLatentShape& shape) { return decoding_bytes(model_, shape); }

  /// Frames from `first` on, of shape [count, height, width, 3] in the host's memory, valid during the call;
  /// done: the share of the clip that they end.
  using Take = std::function<Status(std::int64_t first, const Shape& shape, const float* rgb, double done)>;
  /// The same as NV12 (engine/nv12.h).
  using TakeNv12 =
      std::function<Status(std::int64_t first, const Shape& shape, const std::uint8_t* nv12, double done)>;
  struct Clip {
    const float* z;  // [16, frames, height, width]
    ModelLatentShape shape;
    Take take;
    std::function<bool()> stopped;  // asked between latent frames
    TakeNv12 take_nv12{};           // if there is one, it gets the frames, and `take` none
  };
  Status decode(const Clip& clip);

 private:
  /// Where a latent frame's frames arrive on the host, and whether all of their values were numbers.
  struct Landing {
    Landing(Queue& queue, std::int64_t bytes) : frames(queue, bytes + kFlagBytes), arrived(queue) {}
    static constexpr std::int64_t kFlagBytes = 16;
    std::uint32_t& not_numbers() const {
      return *reinterpret_cast<std::uint32_t*>(frames.data() + frames.bytes() - kFlagBytes);
    }
    Pinned frames;
    Mark arrived;
  };
  /// Device memory of a clip behind the layers' frames.
  struct Buffers {
    float* z;
    float* rgb;
    std::uint8_t* nv12;
    std::uint32_t* not_numbers;
  };

  FrameDecoder(std::unique_ptr<Queue> queue, const MemoryShare& memory, VideoModel model)
      : queue_(std::move(queue)),
        memory_(memory),
        model_(std::move(model)),
        held_(memory.device(), model_.weight_bytes()) {}

  Status stream(const Clip& clip, const Buffers& buffers);
  void send(const Clip& clip, std::int64_t latent, const Buffers& buffers, const Landing& landing);
  Status deliver(const Clip& clip, const Landing& landing, std::int64_t latent);
  std::int64_t first_of(std::int64_t latent) const;
  std::int64_t count_of(std::int64_t latent) const;
  Shape rgb_shape(std::int64_t latent) const;
  std::int64_t frame_bytes(bool nv12) const;
  const std::vector<Landing>& landings(bool nv12);

  std::unique_ptr<Queue> queue_;
  MemoryShare memory_;
  VideoModel model_;
  HeldWeights held_;
  std::vector<Landing> landings_;  // kept: pinning takes longer than the copy
};

}  // namespace turboclip::cuda
