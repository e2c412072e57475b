// What a transformer and a clip take of a device, known from its sizes and the clip's shape before anything
// is loaded, and how many of its blocks have to come from the host's memory for all to fit.
#pragma once

#include <cstdint>
#include <string>

#include "cuda/gemm_tiles.h"
#include "cuda/queue.h"
#include "engine/backend.h"

namespace turboclip::cuda {

/// Bytes of the other models of a set, and of their stages while they run.
struct OtherModels {
  std::int64_t weights = 0;
  std::int64_t scratch = 0;  // of the largest stage
};

/// How a transformer lies on a device.
struct BlockPlan {
  std::int64_t streamed = 0;  // blocks that come from the host's memory
  std::int64_t weights = 0;   // bytes that stay on the device, of this model
  std::int64_t denoise = 0;   // bytes of its clip while it is sampled, the ring of streamed blocks included
  bool fits = false;
};

/// Bytes of a clip's steps, without the ring. text_rows: of the prompt; tiles: of its self-attention.
std::int64_t clip_bytes(const DenoiserConfig& config, const ModelLatentShape& shape,
                        const DenoiserSettings& settings, std::int64_t text_rows, AttentionTiles tiles);

/// As many blocks on the device as fit `available` bytes beside a clip of so many bytes and the other models,
/// but at most `most_resident` if that is not negative. If not even none fits, the plan is that of none.
BlockPlan plan_blocks(const DenoiserConfig& config, std::int64_t clip, const OtherModels& others,
                      std::int64_t available, std::int64_t most_resident);

/// out_of_memory of `need` and `have` bytes of the device, with what would help.
Error too_little(const std::string& what, std::int64_t need, std::int64_t have, const std::string& remedy);

/// "a clip of 832 x 480 and 81 frames".
std::string clip_words(const ModelLatentShape& shape);

}  // namespace turboclip::cuda
