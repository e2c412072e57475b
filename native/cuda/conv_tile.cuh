// Pixels and weights of the portable convolutions in shared memory: rows of 32 channels, of a pixel or of an
// output channel.
#pragma once

#include <type_traits>

#include "cuda/conv.h"
#include "cuda/simt.cuh"

namespace turboclip::cuda {

inline constexpr int kConvThreads = 256;
inline constexpr int kConvWarps = kConvThreads / kWarp;
inline constexpr int kConvBordered = kConvSide + kConvMaxTaps - 1;
inline constexpr int kConvRowBytes = kConvDepth * static_cast<int>(sizeof(F16));
inline constexpr int kConvChunks = kConvRowBytes / 16;
static_assert(kConvSide == 16, "a tile's row is the 16 rows of a product");

/// Of a tile `height` pixels high and kConvSide wide, with its border.
constexpr int bordered_bytes(int height) {
  return (height + kConvMaxTaps - 1) * kConvBordered * kConvRowBytes;
}

/// Calls body with the weight's columns as a constant: what kernels are compiled for.
template <class Body>
void with_columns(const ConvWeight& weight, const Body& body) {
  if (weight.columns == 96) {
    body(std::integral_constant<int, 96>{});
  } else if (weight.columns == 64) {
    body(std::integral_constant<int, 64>{});
  } else {
    body(std::integral_constant<int, 16>{});
  }
}

/// Rows are 64 bytes: two of them pass all banks, so chunks are swizzled by the pair.
__device__ __forceinline__ int conv_offset(int row, int chunk) {
  return row * kConvRowBytes + ((chunk ^ (row >> 1 & 3)) << 4);
}

/// Starts the copies of 32 channels of a tile Height pixels high and its border, rows x columns of it; what
/// lies outside the frame becomes zeros.
template <int Height>
__device__ __forceinline__ void copy_pixels(unsigned char* to, const ConvInput& in, const F16* frame,
                                            int first_channel, int top, int left, int rows, int columns,
                                            int thread) {
  constexpr int kPixels = (Height + kConvMaxTaps - 1) * kConvBordered;
#pragma unroll
  for (int i = 0; i < static_cast<int>(ceil_div(kPixels * kConvChunks, kConvThreads)); ++i) {
    const int at = i * kConvThreads + thread;
    const int pixel = at / kConvChunks;
    const int chunk = at % kConvChunks;
    const int row = pixel / kConvBordered;
    const int column = pixel % kConvBordered;
    const int y = top + row;
    const int x = left + column;
    const int channel = first_channel + 8 * chunk;
    if (row >= rows || column >= columns) continue;
    const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(in.height) &&
                        static_cast<unsigned>(x) < static_cast<unsigned>(in.width) && channel < in.channels;
    copy_async(to + conv_offset(pixel, chunk),
               inside ? frame + static_cast<std::int64_t>(y * in.width + x) * in.channels + channel : frame,
               inside ? 16 : 0);
  }
}

/// Starts the copies of rows of weights, which stand in memory swizzled as they will lie here.
__device__ __forceinline__ void copy_weights(unsigned char* to, const F16* from, int rows, int thread) {
  for (int at = thread; at < rows * kConvChunks; at += kConvThreads)
    copy_async(to + at * 16, from + at * 8, 16);
}

}  // namespace turboclip::cuda
