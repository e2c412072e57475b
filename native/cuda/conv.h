// Convolutions of channels-last frames in halves with float32 sums: one kernel for 3x3x3, 3x1x1, 1x1x1, for
// fewer frames, and for the doubling of height and width.
#pragma once

#include <cstdint>
#include <optional>

#include "cuda/numbers.h"
#include "cuda/queue.h"

namespace turboclip::cuda {

inline constexpr int kConvFrames = 3;   // that a convolution sees at most
inline constexpr int kConvDepth = 32;   // channels of a step of the reduction
inline constexpr int kConvSide = 16;    // pixels of a tile's side
inline constexpr int kConvMaxTaps = 3;  // across, and down
inline constexpr int kConvPhases = 4;   // of an output twice as high and wide
inline constexpr int kConvPlanes = 4;   // of two frames in turn and the two before them

/// Channels as they are stored: a multiple of 8, those past the last are zeros.
__host__ __device__ constexpr int stored_channels(std::int64_t channels) {
  return static_cast<int>(ceil_div(channels, 8) * 8);
}

/// Frames [height, width, stored channels] of one size; the oldest first, nullptr before the clip's first.
struct ConvInput {
  const F16* frames[kConvFrames];
  int height;
  int width;
  int channels;  // stored
};

/// Made by pack_conv (conv_weights.h). values: [phase][column block][frame][channels / 32][tap down][tap
/// across] [columns][32], chunks of 8 of the 32 in the order chunk ^ (column / 2 % 4); bias [column blocks *
/// columns].
struct ConvWeight {
  const F16* values;
  const float* bias;
  int columns;  // of a tile: 16, 64 or 96
  int column_blocks;
  int channels;  // of the input, stored
  int frames;
  int down;
  int across;
  int phases;  // 1, or 4: the output is twice as high and wide
  int out;     // channels, stored
};

/// Frames before the clip's first are zeros: nothing is added for them.
inline int skipped_frames(const ConvInput& x, const ConvWeight& weight) {
  int skipped = 0;
  while (skipped < weight.frames - 1 && x.frames[skipped] == nullptr) ++skipped;
  return skipped;
}

/// Where the result goes, one of the two. residual: added before `relu`, of `values`' shape, and may be it.
struct ConvOutput {
  F16* values = nullptr;  // [height][width][out]
  const F16* residual = nullptr;
  bool relu = false;
  float* rgb = nullptr;  // [height][width][3] of a convolution to 3 channels
};

/// How it is computed: Hopper's by the output channels of a tile.
enum class ConvTiles {
  portable,        // 16 x 16 pixels by up to 96 channels, mma.sync
  half_sums,       // the same, with half sums of each row of taps
  wgmma_128,       // 16 x 16 pixels
  wgmma_96,        // 32 x 16 pixels
  wgmma_96_small,  // 16 x 16 pixels
  wgmma_64,        // 32 x 16 pixels
};
/// Tests and benchmarks choose; else the card's best (conv_tiles.h) are taken.
using ChosenConv = std::optional<ConvTiles>;

void convolve(Queue& queue, const ConvInput& x, const ConvWeight& weight, const ConvOutput& y,
              ChosenConv chosen = {});

}  // namespace turboclip::cuda
