// Wan's VAE decoder on the CPU, one latent frame at a time with the causal convolutions' history.
#pragma once

#include <memory>

#include "cpu/context.h"
#include "engine/backend.h"

namespace turboclip::cpu {

/// Adds the bytes of the weights it keeps to resident_bytes.
Result<std::unique_ptr<VideoDecoder>> load_wan_vae(const Checkpoint& checkpoint, const Context& context,
                                                   std::int64_t& resident_bytes);

}  // namespace turboclip::cpu
