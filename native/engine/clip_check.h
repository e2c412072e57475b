// What every backend's transformer asks of a clip before it begins one.
#pragma once

#include "engine/backend.h"
#include "engine/error.h"

namespace turboclip {

/// request_invalid with the value and what was expected: a latent without whole patches, text rows or a
/// picture of another shape than the model takes, sparse attention without its weights, a share out of (0,
/// 1].
Status check_clip(const DenoiserConfig& config, const ModelLatentShape& shape,
                  const Conditioning& conditioning, const DenoiserSettings& settings);

}  // namespace turboclip
