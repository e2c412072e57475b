// Which tiles a convolution is computed in: on Hopper by a count of the card's rounds of tiles
// (bench/results/cuda-log.md).
#pragma once

#include <vector>

#include "cuda/conv_pair.h"

namespace turboclip::cuda {

const char* name(ConvTiles tiles);
const char* name(PairTiles tiles);
bool is_wgmma(ConvTiles tiles);
bool is_wgmma(PairTiles tiles);

/// What the card can run with these weights, the portable ones first.
std::vector<ConvTiles> conv_tiles(const Device& device, const ConvWeight& weight);
std::vector<PairTiles> pair_tiles(const Device& device, const ConvWeight& weight);

/// Whether convolutions in pairs take less time at full size too, where pixels have so few channels that the
/// planes cost what mma.sync saves by them (bench/results/cuda-log.md).
bool pairs_pay_at_full_size(const Device& device);

ConvTiles best_conv_tiles(const Device& device, const ConvInput& x, const ConvWeight& weight);
PairTiles best_pair_tiles(const Device& device, const ConvPlanes& x, const ConvWeight& weight);

}  // namespace turboclip::cuda
