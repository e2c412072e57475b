// The ways in which the W8A8 product and sparse attention can be computed, and which a card takes.
#pragma once

#include <optional>
#include <vector>

#include "cuda/queue.h"

namespace turboclip::cuda {

enum class GemmTiles {
  portable,       // 192 x 128 a block, two stages: all that an RTX 5090's shared memory holds
  tensor_copies,  // the same tile and numbers, its operands by tensor copies: compute capability 9.0 and up
  wgmma,          // 256 x 128 by Hopper's asynchronous products
};

enum class AttentionTiles {
  portable,  // warps of 32 queries, mma.sync
  e4m3,      // warps of 16, p . v in e4m3 with sums in halves; cross-attention is the portable one
  wgmma,     // a warpgroup of 128 queries, Hopper's asynchronous products
};

const char* name(GemmTiles tiles);
const char* name(AttentionTiles tiles);

/// From here on no tiles with this word in their name are taken: "wgmma" measures on Hopper what others run,
/// "wgmma attention" leaves the linear layers as they are.
void leave_out_tiles(const char* word);
/// Takes back what the last call with this word left out.
void take_tiles_again(const char* word);
/// Whether tiles of this name are left out.
bool left_out(const char* name);

/// What the card can run, the best known last.
std::vector<GemmTiles> gemm_tiles(const Device& device);
std::vector<AttentionTiles> attention_tiles(const Device& device);

/// The fastest that a card has been seen to run, or is predicted to (bench/results/cuda-log.md).
GemmTiles best_gemm_tiles(const Device& device);
AttentionTiles best_attention_tiles(const Device& device);

/// Tests and benchmarks choose; else the card's best are taken.
using ChosenTiles = std::optional<GemmTiles>;
using ChosenAttention = std::optional<AttentionTiles>;

}  // namespace turboclip::cuda
