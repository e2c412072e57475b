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
  wgmma_origin,  // the same, sums made floats by adding and subtracting
  wgmma_pairs,   // the same, two neighbouring blocks reading half of their rows each, for both
  wgmma_all,     // in turns, from the origin, in pairs
};

const char* name(GemmTiles tiles);

/// From here on no tiles with this word in their name are taken: "wgmma" measures on Hopper what others run.
void leave_out_tiles(const char* word);

/// What the card can run, the portable ones first.
std::vector<GemmTiles> gemm_tiles(const Device& device);

/// The fastest for a product of so many rows.
GemmTiles best_gemm_tiles(const Device& device, std::int64_t rows);

}  // namespace turboclip::cuda
