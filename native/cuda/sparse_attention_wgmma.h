// Sparse attention on Hopper's wgmma, for compute capability 9.x alone.
#pragma once

#include "cuda/self_attention.h"

namespace turboclip::cuda {

/// As the portable kernel.
void sparse_attention_wgmma(Queue& queue, const HeadShape& shape, const Projections& projections,
                            const Heads& heads, const Sparse& sparse, std::int8_t* y, float* y_scales);

}  // namespace turboclip::cuda
