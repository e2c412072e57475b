#include "cuda/device_memory.h"

#include <algorithm>
#include <atomic>
#include <string>

#include "cuda/run_state.h"
#include "cuda/transformer_weights.h"
#include "engine/memory_plan.h"
#include "engine/text.h"

namespace turboclip::cuda {
namespace {

/// Of the process, which has one device; models end on other threads.
std::atomic<std::int64_t> held_weights = 0;

Error too_little(const std::string& what, std::int64_t need, std::int64_t have, const std::string& remedy) {
  return Error{ErrorCode::out_of_memory,
               concat(what, " needs ", gigabytes(need), " of the device's memory and ", gigabytes(have),
                      " may be taken (TURBOCLIP_DEVICE_MEMORY_GIB, and what the card has free); ", remedy)};
}

/// Rows of text as Transformer::prepare_text holds them while it makes the blocks' keys.
std::int64_t text_scratch(const DenoiserConfig& config, std::int64_t rows) {
  const std::int64_t halves = rows * (config.text_width + 2 * config.width) * 2;
  const std::int64_t floats = 3 * config.heads * scale_stride(rows) + rows;
  return halves + rows * config.width + 4 * floats;
}

}  // namespace

Result<std::int64_t> MemoryShare::available(Queue& queue, std::int64_t held) const {
  std::size_t free_bytes = 0, total_bytes = 0;
  queue.check("the device's memory", cudaMemGetInfo(&free_bytes, &total_bytes));
  if (!queue.status()) return queue.status().error();
  const auto free = static_cast<std::int64_t>(free_bytes);
  return limit_ == 0 ? free : std::clamp<std::int64_t>(limit_ - held - held_weights, 0, free);
}

HeldWeights::HeldWeights(std::int64_t bytes) : bytes_(bytes) { held_weights += bytes; }
HeldWeights::~HeldWeights() { held_weights -= bytes_; }

Status check_weights(const DenoiserConfig& config, std::int64_t available) {
  const std::int64_t need = weight_bytes(config);
  if (need <= available) return success();
  return too_little("the transformer", need, available,
                    "load a smaller one, or give the engine more of the card");
}

std::int64_t clip_bytes(const DenoiserConfig& config, const ModelLatentShape& shape,
                        const DenoiserSettings& settings, std::int64_t text_rows) {
  const LatentShape latent{shape.frames, shape.height, shape.width};
  const std::int64_t rows = std::min(kTextRows, text_rows + 1);  // and one for the padding
  const std::int64_t image = 4 * (config.in_channels - kLatentChannels) * latent.plane();
  const std::int64_t keys = config.layers * rows * 2 * config.width * 2;
  return RunState::planned_bytes(config, latent, settings) + image + keys + text_scratch(config, rows);
}

Status check_clip_bytes(const DenoiserConfig& config, const ModelLatentShape& shape,
                        const DenoiserSettings& settings, std::int64_t text_rows, std::int64_t available) {
  const auto need = [&](std::int64_t frames) {
    return clip_bytes(config, {frames, shape.height, shape.width}, settings, text_rows);
  };
  if (need(shape.frames) <= available) return success();
  std::int64_t fits = shape.frames - 1;
  while (fits > 0 && need(fits) > available) --fits;
  const auto pixels = [](std::int64_t frames) { return 1 + 4 * (frames - 1); };
  return too_little(concat("a clip of ", 8 * shape.width, " x ", 8 * shape.height, " and ",
                           pixels(shape.frames), " frames"),
                    need(shape.frames), available,
                    fits > 0 ? concat("what fits: ", pixels(fits), " frames, or a smaller size")
                             : "ask for a smaller size, or give the engine more of the card");
}

}  // namespace turboclip::cuda
