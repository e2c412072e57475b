// What a whole model set and a clip take of a device, before anything of it is loaded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cuda/device_plan.h"
#include "cuda/frame_decoder.h"
#include "cuda/text_encoding.h"
#include "engine/umt5_config.h"

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
  TextEncoding text_encoding = TextEncoding::host;
  BlockPlan blocks;
  std::int64_t layers = 0;
  std::int64_t ring = 0;          // of blocks.denoise
  std::int64_t text_encoder = 0;  // weights
  std::int64_t decoders = 0;      // weights
  std::int64_t decode = 0;        // of the clip
  std::int64_t text = 0;          // of a prompt, or of loading the text encoder
  std::int64_t peak = 0;          // of everything
  std::int64_t host = 0;          // pinned memory of streamed blocks
};

/// Files of a model set; no tiny decoder if that is empty.
struct SetFiles {
  std::filesystem::path denoiser, vae, tiny, text_encoder;
};

/// What is on the device already, whose weights are counted as taken.
struct SetThere {
  bool vae = false, tiny = false;
  bool bf16 = false, int8 = false;  // the text encoder
};

class SetPlanner {
 public:
  /// Reads the headers; the text encoder's only if it may be on the device.
  static Result<SetPlanner> read(const SetFiles& files, TextEncoding encoding, const Device& device);

  void set_there(const SetThere& there) { there_ = there; }
  /// most_resident: as plan_blocks() takes it. Automatic text encoding becomes bfloat16 or, if that has no
  /// room, INT8 where all blocks are on the device beside it; else INT8 where the set fits at all, and else
  /// that of the host. A text encoder that is there comes first. whole: the host's is not chosen.
  SetPlan plan(const PlannedClip& clip, std::int64_t available, std::int64_t most_resident,
               bool whole = false) const;
  /// What would fit `available` bytes instead of the clip, in words.
  std::string remedy(const PlannedClip& clip, std::int64_t available) const;

 private:
  SetPlan plan_with(TextEncoding encoding, const PlannedClip& clip, std::int64_t available,
                    std::int64_t most_resident) const;
  OtherModels text_bytes(TextEncoding encoding) const;

  DenoiserConfig config_;
  TextEncoding encoding_ = TextEncoding::host;
  std::optional<Umt5Config> umt5_;
  Device device_;
  // Counting a clip leaves sizes in a model's layers.
  mutable VideoModel vae_;
  mutable std::optional<VideoModel> tiny_;
  SetThere there_;
};

}  // namespace turboclip::cuda
