// TurboWan's transformer on the CPU: Wan 2.1's DiT with sparse-linear self-attention.
#pragma once

#include <memory>

#include "cpu/context.h"
#include "engine/backend.h"

namespace turboclip::cpu {

/// Adds the bytes of the weights it keeps to resident_bytes.
Result<std::unique_ptr<Denoiser>> load_wan_dit(const Checkpoint& checkpoint, const Context& context,
                                               std::int64_t& resident_bytes);

}  // namespace turboclip::cpu
