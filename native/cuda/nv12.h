// A decoder's frames on their way out, as engine/nv12.h has them.
#pragma once

#include <cstdint>

#include "cuda/queue.h"

namespace turboclip::cuda {

/// rgb [frames, height, width, 3] to `frames` frames of NV12, the bytes that to_nv12() makes. A value that is
/// no number sets *not_numbers to 1, and is black.
void frames_to_nv12(Queue& queue, const float* rgb, std::int64_t frames, std::int64_t height,
                    std::int64_t width, std::uint8_t* out, std::uint32_t* not_numbers);

}  // namespace turboclip::cuda
