// The tiles that the W8A8 product can be computed in, and which one a product of a shape takes on a card.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/queue.h"

namespace turboclip::cuda {

/// Shared memory that a block may have on data-centre cards since sm_90.
inline constexpr std::size_t kDeepSharedBytes = 227 << 10;

enum class GemmTiles {
  rows128,       // 128 x 128 a block, three stages
  rows192,       // 192 x 128, two stages: a sixth less from L2, and a quarter less from shared memory
  rows192_deep,  // the same, three stages: 126 KB of shared memory
  wgmma,         // 256 x 128 by Hopper's asynchronous products
  wgmma_turns,   // the same, its two warpgroups multiplying in turns
};

const char* name(GemmTiles tiles);

/// From here on every card counts as one without kernels of its own: to measure on Hopper what others run.
void use_portable_tiles();

/// What the card can run, the portable ones first.
std::vector<GemmTiles> gemm_tiles(const Device& device);

/// The fastest for a product of so many rows.
GemmTiles best_gemm_tiles(const Device& device, std::int64_t rows);

}  // namespace turboclip::cuda
