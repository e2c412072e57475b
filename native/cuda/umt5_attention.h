// umT5's self-attention: dense, without scaling, with a bias for each head and distance of two tokens.
#pragma once

#include <cstdint>

#include "cuda/umt5_passes.h"

namespace turboclip::cuda {

inline constexpr std::int64_t kMostTokens = 512;
/// Distances from a query to a key: -511 to 511, and one place more.
inline constexpr std::int64_t kDistances = 2 * kMostTokens;

struct TextHeads {
  std::int64_t heads;
  std::int64_t width;  // of a head: 32 or 64; heads * width is a multiple of 128
};

/// projections: sums of [rows, 3 * heads * width], columns q, then k, then v. bias: [heads][kDistances] at
/// key - query + kMostTokens - 1, times log2 e. Writes [rows, heads * width].
void text_attention(Queue& queue, const PartialSums& projections, const TextHeads& heads, const float* bias,
                    const TextRows& out);

}  // namespace turboclip::cuda
