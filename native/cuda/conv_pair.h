// Causal 3x3x3 convolutions of two frames at a time, with a third fewer products than of each by itself.
#pragma once

#include <optional>

#include "cuda/conv.h"

namespace turboclip::cuda {

/// Of frames a, b, c, d in turn, from which c' and d' are made: b + c, c - b, a - c and d - b. Each [height,
/// width, stored channels].
struct ConvPlanes {
  const F16* planes[kConvPlanes];
  int height;
  int width;
  int channels;  // stored
};

/// How it is computed.
enum class PairTiles {
  portable,     // 16 x 8 pixels by up to 96 channels, mma.sync
  half_sums,    // the same, with half sums of each tap
  wgmma,        // Hopper's: 16 x 16 pixels by 96 channels
  wgmma_small,  // 16 x 8 pixels
};

/// weight: of pack_pair_conv (conv_weights.h). Tests and benchmarks choose the tiles.
void convolve_pair(Queue& queue, const ConvPlanes& x, const ConvWeight& weight, const ConvOutput& first,
                   const ConvOutput& second, std::optional<PairTiles> chosen = {});

}  // namespace turboclip::cuda
