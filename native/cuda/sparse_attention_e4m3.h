// Sparse attention whose values are e4m3, for cards that multiply it by mma.sync: sm_89 and sm_120.
#pragma once

#include "cuda/self_attention.h"

namespace turboclip::cuda {

/// As the portable kernel; `heads` has v.
void sparse_attention_e4m3(Queue& queue, const HeadShape& shape, const Projections& projections,
                           const Heads& heads, const Sparse& sparse, std::int8_t* y, float* y_scales);

}  // namespace turboclip::cuda
