// The tiles that the W8A8 product can be computed in, and which a card takes.
#pragma once

#include <vector>

#include "cuda/queue.h"

namespace turboclip::cuda {

enum class GemmTiles {
  portable,  // 192 x 128 a block, two stages: all that an RTX 5090's shared memory holds
  wgmma,     // 256 x 128 by Hopper's asynchronous products
};

const char* name(GemmTiles tiles);

/// From here on no tiles with this word in their name are taken: "wgmma" measures on Hopper what others run.
void leave_out_tiles(const char* word);

/// What the card can run, the portable ones first.
std::vector<GemmTiles> gemm_tiles(const Device& device);

/// The fastest that the card can run (bench/results/cuda-log.md).
GemmTiles best_gemm_tiles(const Device& device);

}  // namespace turboclip::cuda
