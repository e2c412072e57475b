// The reference lists the key blocks of a query block best first; the engine keeps them in ascending order,
// since the order has no meaning. This puts the engine's list into the reference's order for the written
// file.
#pragma once

#include "engine/tensor.h"

namespace turboclip::golden {

/// lut: [heads, query blocks, kept] of key block numbers; q, k: [heads, tokens, 128] after norm and rotary
/// embedding. Sorts each row by falling score of the pooled blocks: mean q . (mean k of the block - mean k).
void rank_block_list(Tensor& lut, const Tensor& q, const Tensor& k);

}  // namespace turboclip::golden
