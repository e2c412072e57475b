#include "cuda/device_plan.h"

#include <algorithm>

#include "cuda/run_state.h"
#include "cuda/transformer_blocks.h"
#include "cuda/transformer_weights.h"
#include "engine/memory_plan.h"
#include "engine/text.h"

namespace turboclip::cuda {

Error too_little(const std::string& what, std::int64_t need, std::int64_t have, const std::string& remedy) {
  return Error{ErrorCode::out_of_memory,
               concat(what, " needs ", gibibytes(need), " of the device's memory and ", gibibytes(have),
                      " may be taken (TURBOCLIP_DEVICE_MEMORY_GIB, and what the card has free); ", remedy)};
}

std::string clip_words(const ModelLatentShape& shape) {
  return concat("a clip of ", 8 * shape.width, " x ", 8 * shape.height, " and ", 1 + 4 * (shape.frames - 1),
                " frames");
}

std::int64_t clip_bytes(const DenoiserConfig& config, const ModelLatentShape& shape,
                        const DenoiserSettings& settings, std::int64_t text_rows, AttentionTiles tiles) {
  RunState counted;
  return counted.place(nullptr, config, {shape.frames, shape.height, shape.width}, settings,
                       key_rows(text_rows), tiles);
}

BlockPlan plan_blocks(const DenoiserConfig& config, std::int64_t clip, const OtherModels& others,
                      std::int64_t available, std::int64_t most_resident) {
  const std::int64_t block = block_bytes(config).all();
  const std::int64_t forced =
      most_resident < 0 ? 0 : std::max<std::int64_t>(0, config.layers - most_resident);
  BlockPlan plan;
  for (plan.streamed = forced; plan.streamed <= config.layers; ++plan.streamed) {
    plan.weights = embedding_bytes(config) + (config.layers - plan.streamed) * block;
    plan.denoise = clip + ring_bytes(config, plan.streamed);
    plan.fits = plan.weights + others.weights + std::max(plan.denoise, others.scratch) <= available;
    if (plan.fits || plan.streamed == config.layers) break;
  }
  return plan;
}

}  // namespace turboclip::cuda
