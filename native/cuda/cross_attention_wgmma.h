// Cross-attention on Hopper's wgmma, for compute capability 9.x alone.
#pragma once

#include "cuda/cross_attention.h"

namespace turboclip::cuda {

/// The most text rows that it holds; longer prompts are the portable kernel's.
inline constexpr std::int64_t kWgmmaTextRows = 128;

/// As the portable kernel, of at most kWgmmaTextRows.
void cross_attention_wgmma(Queue& queue, const CrossQueries& q, const TextKeys& keys, std::int8_t* y,
                           float* y_scales);

}  // namespace turboclip::cuda
