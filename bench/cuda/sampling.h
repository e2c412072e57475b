// Whole clips: a checkpoint of the true shape loaded, and sampled step by step.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend.h"

namespace turboclip::bench {

/// A clip's size, by its latent.
struct ClipShape {
  const char* name;
  std::int64_t frames, height, width;
};

/// Writes a checkpoint of random weights of the true shape, loads it, and samples the clips in every way that
/// the card can compute. Prints a line for the load, and one for each clip and way: seconds of 1 to 4 steps,
/// and peak memory. An error of the disk or the device as a status.
Status time_sampling(const char* model, const DenoiserConfig& config, const std::vector<ClipShape>& clips);

/// The heads of both tables.
void print_sampling_heads();

}  // namespace turboclip::bench
