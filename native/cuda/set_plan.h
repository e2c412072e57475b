// What a whole model set and a clip take of a device, before anything of it is loaded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cuda/device_plan.h"
#include "cuda/frame_decoder.h"

namespace turboclip::cuda {

/// A clip to plan for, and how it is made.
struct PlannedClip {
  ModelLatentShape shape;
  std::int64_t text_rows = kTextRows;
  DenoiserSettings settings{};
  bool tiny = false;  // decoded by TAEHV
};

/// Bytes.
struct SetPlan {
  BlockPlan blocks;
  std::int64_t layers = 0;
  std::int64_t ring = 0;      // of blocks.denoise
  std::int64_t decoders = 0;  // weights
  std::int64_t decode = 0;    // of the clip
  std::int64_t peak = 0;      // of everything
  std::int64_t host = 0;      // pinned memory of streamed blocks
};

class SetPlanner {
 public:
  /// Reads the headers. `tiny` may be empty. text: bytes of the text encoder, if it is on the device.
  static Result<SetPlanner> read(const std::filesystem::path& denoiser, const std::filesystem::path& vae,
                                 const std::filesystem::path& tiny, const OtherModels& text);

  /// Decoders that are on the device already, whose weights are counted as taken.
  void set_there(bool vae, bool tiny) {
    vae_there_ = vae;
    tiny_there_ = tiny;
  }
  /// most_resident: as plan_blocks() takes it.
  SetPlan plan(const PlannedClip& clip, std::int64_t available, std::int64_t most_resident);
  /// Bytes of the other models than the transformer, and of the largest stage beside its steps.
  OtherModels others(const PlannedClip& clip);
  /// What would fit `available` bytes instead of the clip, in words.
  std::string remedy(const PlannedClip& clip, std::int64_t available);

 private:
  DenoiserConfig config_;
  OtherModels text_;
  VideoModel vae_;
  std::optional<VideoModel> tiny_;
  bool vae_there_ = false;
  bool tiny_there_ = false;
};

}  // namespace turboclip::cuda
