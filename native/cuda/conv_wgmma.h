// Convolutions on Hopper's wgmma, for compute capability 9.x alone.
#pragma once

#include "cuda/conv.h"
#include "cuda/conv_pair.h"

namespace turboclip::cuda {

/// As the portable kernel. tiles: any but the portable ones.
void convolve_wgmma(Queue& queue, const ConvInput& x, const ConvWeight& weight, const ConvOutput& y,
                    ConvTiles tiles);

/// As convolve_pair.
void convolve_pair_wgmma(Queue& queue, const ConvPlanes& x, const ConvWeight& weight, const ConvOutput& first,
                         const ConvOutput& second, PairTiles tiles);

}  // namespace turboclip::cuda
