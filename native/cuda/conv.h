// Convolutions of channels-last frames in halves with float32 sums: one kernel for 3x3x3, 3x1x1, 1x1x1, for
// fewer frames, and for the doubling of height and width.
#pragma once

#include <cstdint>

#include "cuda/numbers.h"
#include "cuda/queue.h"

namespace turboclip::cuda {

inline constexpr int kConvFrames = 3;   // that a convolution sees at most
inline constexpr int kConvDepth = 32;   // channels of a step of the reduction
inline constexpr int kConvSide = 16;    // pixels of a tile's side
inline constexpr int kConvMaxTaps = 3;  // across, and down
inline constexpr int kConvPhases = 4;   // of an output twice as high and wide

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
/// across] [columns][32]; bias [column blocks * columns].
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

/// Where the result goes, one of the two. residual: added before `relu`, of `values`' shape, and may be it.
struct ConvOutput {
  F16* values = nullptr;  // [height][width][out]
  const F16* residual = nullptr;
  bool relu = false;
  float* rgb = nullptr;  // [height][width][3] of a convolution to 3 channels
};

void convolve(Queue& queue, const ConvInput& x, const ConvWeight& weight, const ConvOutput& y);

}  // namespace turboclip::cuda
