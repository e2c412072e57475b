// umT5's encoder (google/umt5-xxl, https://arxiv.org/abs/2304.09151) on the CPU, over the real tokens only: a
// padding mask hides the others from every softmax, so that leaving them out changes nothing.
#pragma once

#include <memory>

#include "cpu/context.h"
#include "engine/backend.h"

namespace turboclip::cpu {

/// Adds the bytes of the weights it keeps to resident_bytes.
Result<std::unique_ptr<TextEncoder>> load_umt5(const Checkpoint& checkpoint, const Context& context,
                                               std::int64_t& resident_bytes);

}  // namespace turboclip::cpu
