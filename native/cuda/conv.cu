// A block computes 16 x 16 pixels of up to 96 output channels. Of each 32 channels of a frame the pixels with
// their border lie in shared memory once for all taps; the weights of a row of taps follow one another
// through two stages. Both come while the row of taps before is multiplied.
#include "cuda/conv.h"
#include "cuda/simt.cuh"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kBordered = kConvSide + kConvMaxTaps - 1;
constexpr int kRowBytes = kConvDepth * static_cast<int>(sizeof(F16));
constexpr int kChunks = kRowBytes / 16;
constexpr int kPixelsBytes = kBordered * kBordered * kRowBytes;
static_assert(kConvSide == 16, "a tile's row is the 16 rows of a product");

constexpr int weights_bytes(int columns) { return kConvMaxTaps * columns * kRowBytes; }
constexpr int shared_bytes(int columns) { return 2 * (kPixelsBytes + weights_bytes(columns)); }
static_assert(shared_bytes(96) <= static_cast<int>(kSharedLimit));

/// Rows are 64 bytes: two of them pass all banks, so chunks are swizzled by the pair.
__device__ __forceinline__ int offset(int row, int chunk) {
  return row * kRowBytes + ((chunk ^ (row >> 1 & 3)) << 4);
}

/// A block's place.
struct Place {
  int y, x;  // of the first pixel, in the input's size
  int column_block;
  int phase;

  __device__ __forceinline__ Place(const ConvInput& in, const ConvWeight& weight) {
    const int across = static_cast<int>(ceil_div(in.width, kConvSide));
    const int tile = static_cast<int>(blockIdx.x) / weight.column_blocks;
    column_block = static_cast<int>(blockIdx.x) % weight.column_blocks;
    phase = static_cast<int>(blockIdx.y);
    y = tile / across * kConvSide;
    x = tile % across * kConvSide;
  }
};

/// Starts the copies of 32 channels of the tile and its border; what lies outside the frame becomes zeros.
__device__ __forceinline__ void copy_pixels(unsigned char* to, const ConvInput& in, const F16* frame,
                                            int first_channel, int top, int left, int rows, int columns,
                                            int thread) {
#pragma unroll
  for (int i = 0; i < static_cast<int>(ceil_div(kBordered * kBordered * kChunks, kThreads)); ++i) {
    const int at = i * kThreads + thread;
    const int pixel = at / kChunks;
    const int chunk = at % kChunks;
    const int row = pixel / kBordered;
    const int column = pixel % kBordered;
    const int y = top + row;
    const int x = left + column;
    const int channel = first_channel + 8 * chunk;
    if (row >= rows || column >= columns) continue;
    const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(in.height) &&
                        static_cast<unsigned>(x) < static_cast<unsigned>(in.width) && channel < in.channels;
    copy_async(to + offset(pixel, chunk),
               inside ? frame + static_cast<std::int64_t>(y * in.width + x) * in.channels + channel : frame,
               inside ? 16 : 0);
  }
}

/// Starts the copies of a row of taps' weights.
template <int Columns>
__device__ __forceinline__ void copy_weights(unsigned char* to, const F16* from, int across, int thread) {
  for (int at = thread; at < across * Columns * kChunks; at += kThreads) {
    copy_async(to + offset(at / kChunks, at % kChunks), from + at * 8, 16);
  }
}

/// What becomes of two neighbouring channels of a pixel.
struct Store {
  const ConvWeight& weight;
  const ConvOutput& out;
  int width;  // of the output

  __device__ __forceinline__ void operator()(int y, int x, int channel, float a, float b) const {
    if (out.rgb != nullptr) {
      float* pixel = out.rgb + static_cast<std::int64_t>(y * width + x) * 3;
      if (channel < 3) pixel[channel] = a;
      if (channel + 1 < 3) pixel[channel + 1] = b;
      return;
    }
    if (channel >= weight.out) return;
    const std::int64_t place = static_cast<std::int64_t>(y * width + x) * weight.out + channel;
    if (out.residual != nullptr) {
      const float2 old = unpack_f16(*reinterpret_cast<const std::uint32_t*>(out.residual + place));
      a += old.x;
      b += old.y;
    }
    if (out.relu) {
      a = a > 0 ? a : 0;
      b = b > 0 ? b : 0;
    }
    *reinterpret_cast<std::uint32_t*>(out.values + place) = pack_f16(a, b);
  }
};

/// A warp's share of the tile: Rows rows of 16 pixels by Width columns.
template <int Rows, int Width>
struct Sums {
  float values[Rows][Width / 8][4] = {};
  int row;     // of pixels
  int column;  // of the block's columns

  __device__ __forceinline__ void add_taps(const unsigned char* pixels, const unsigned char* weights,
                                           int down, int across, int columns, int lane) {
    for (int tap = 0; tap < across; ++tap) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        std::uint32_t a[Rows][4];
#pragma unroll
        for (int i = 0; i < Rows; ++i) {
          const int pixel = (row + i + down) * kBordered + lane % 16 + tap;
          load_tiles(a[i], pixels + offset(pixel, 2 * half + lane / 16));
        }
#pragma unroll
        for (int j = 0; j < Width / 16; ++j) {
          std::uint32_t b[4];
          const int of = tap * columns + column + 16 * j + lane / 16 * 8 + lane % 8;
          load_tiles(b, weights + offset(of, 2 * half + lane / 8 % 2));
#pragma unroll
          for (int side = 0; side < 2; ++side) {
            const std::uint32_t right[2] = {b[2 * side], b[2 * side + 1]};
#pragma unroll
            for (int i = 0; i < Rows; ++i) multiply_add_f16(values[i][2 * j + side], a[i], right);
          }
        }
      }
    }
  }

  __device__ __forceinline__ void store(const ConvInput& in, const ConvWeight& weight, const Store& to,
                                        const Place& place, int lane) const {
    const int grid = weight.phases == 1 ? 1 : 2;
    const int first = place.column_block * weight.columns + column + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < Width / 8; ++j) {
      const float bias[2] = {weight.bias[first + 8 * j], weight.bias[first + 8 * j + 1]};
#pragma unroll
      for (int i = 0; i < Rows; ++i) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int y = place.y + row + i;
          const int x = place.x + lane / 4 + 8 * half;
          if (y >= in.height || x >= in.width) continue;
          to(y * grid + place.phase / 2, x * grid + place.phase % 2, first + 8 * j,
             values[i][j][2 * half] + bias[0], values[i][j][2 * half + 1] + bias[1]);
        }
      }
    }
  }
};

template <int Columns>
__global__ void __launch_bounds__(kThreads, 1)
    conv_kernel(ConvInput in, ConvWeight weight, ConvOutput out, int skipped) {
  constexpr int kWarpsAcross = Columns >= 64 ? 2 : 1;
  constexpr int kRows = kConvSide * kWarpsAcross / kWarps;
  constexpr int kWidth = Columns / kWarpsAcross;
  unsigned char* const pixels = shared_memory();
  unsigned char* const weights = pixels + 2 * kPixelsBytes;
  const int thread = static_cast<int>(threadIdx.x);
  const Place place(in, weight);
  // Taps begin one pixel before the output's; of the doubled picture's odd rows and columns with it.
  const int top = place.y - (weight.phases == 1 ? weight.down / 2 : 1 - place.phase / 2);
  const int left = place.x - (weight.phases == 1 ? weight.across / 2 : 1 - place.phase % 2);
  const int slices = static_cast<int>(ceil_div(in.channels, kConvDepth));
  const int tap_row = weight.across * Columns * kConvDepth;
  const F16* from =
      weight.values + static_cast<std::int64_t>(place.phase * weight.column_blocks + place.column_block) *
                          (weight.frames * slices * weight.down) * tap_row;

  const auto start_pixels = [&](int turn) {  // one turn: 32 channels of a frame
    const int frame = turn / slices;
    const F16* values = frame == 0 ? in.frames[0] : frame == 1 ? in.frames[1] : in.frames[2];
    copy_pixels(pixels + turn % 2 * kPixelsBytes, in, values, turn % slices * kConvDepth, top, left,
                kConvSide + weight.down - 1, kConvSide + weight.across - 1, thread);
  };
  const auto start_weights = [&](int step) {
    copy_weights<Columns>(weights + step % 2 * weights_bytes(Columns),
                          from + static_cast<std::int64_t>(step) * tap_row, weight.across, thread);
  };
  const int turns = weight.frames * slices;
  int turn = skipped * slices;
  int step = turn * weight.down;
  start_pixels(turn);
  start_weights(step);
  copy_commit();
  Sums<kRows, kWidth> sums;
  sums.row = thread / kWarp / kWarpsAcross * kRows;
  sums.column = thread / kWarp % kWarpsAcross * kWidth;
  for (; turn < turns; ++turn) {
    for (int down = 0; down < weight.down; ++down, ++step) {
      copy_wait<0>();
      __syncthreads();
      if (step + 1 < turns * weight.down) start_weights(step + 1);
      if (down == 0 && turn + 1 < turns) start_pixels(turn + 1);
      copy_commit();
      sums.add_taps(pixels + turn % 2 * kPixelsBytes, weights + step % 2 * weights_bytes(Columns), down,
                    weight.across, Columns, thread % kWarp);
    }
  }
  const int grid = weight.phases == 1 ? 1 : 2;
  sums.store(in, weight, Store{weight, out, grid * in.width}, place, thread % kWarp);
}

}  // namespace

void convolve(Queue& queue, const ConvInput& x, const ConvWeight& weight, const ConvOutput& y) {
  // Frames before the clip's first are zeros: nothing is added for them.
  int skipped = 0;
  while (skipped < weight.frames - 1 && x.frames[skipped] == nullptr) ++skipped;
  const auto tiles = static_cast<unsigned>(ceil_div(x.height, kConvSide) * ceil_div(x.width, kConvSide));
  const auto launch = [&](auto kernel) {
    queue.launch(
        "convolve", kernel,
        {dim3(tiles * static_cast<unsigned>(weight.column_blocks), static_cast<unsigned>(weight.phases)),
         kThreads, static_cast<std::size_t>(shared_bytes(weight.columns))},
        x, weight, y, skipped);
  };
  if (weight.columns == 96) {
    launch(conv_kernel<96>);
  } else if (weight.columns == 64) {
    launch(conv_kernel<64>);
  } else {
    launch(conv_kernel<16>);
  }
}

}  // namespace turboclip::cuda
