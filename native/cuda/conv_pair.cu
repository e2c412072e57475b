// Two frames in turn of a causal 3x3x3 convolution, from four planes in place of six frames (Winograd's F(2,
// 3) along time: Lavin and Gray, https://arxiv.org/abs/1509.09308). A block computes 16 x 8 pixels of up to
// 96 output channels of both frames; every warp multiplies two planes at a time. The weights of a tap follow
// one another through four stages, one barrier a tap.
#include "cuda/conv_pair.h"
#include "cuda/conv_store.cuh"
#include "cuda/conv_sums.cuh"
#include "cuda/conv_tile.cuh"
#include "cuda/conv_tiles.h"
#include "cuda/conv_wgmma.h"

namespace turboclip::cuda {
namespace {

constexpr int kHeight = 8;
constexpr int kAtOnce = 2;  // planes
constexpr int kTaps = kConvMaxTaps * kConvMaxTaps;
constexpr int kStages = 4;
constexpr int kPixelsBytes = kAtOnce * bordered_bytes(kHeight);

constexpr int tap_bytes(int columns) { return columns * kConvRowBytes; }  // of a plane
constexpr int shared_bytes(int columns) { return 2 * kPixelsBytes + kStages * kAtOnce * tap_bytes(columns); }
static_assert(shared_bytes(96) <= static_cast<int>(kSharedLimit));

/// A warp's share of the tile: of each of two planes Rows rows of 16 pixels by Width columns.
template <ProductSums Kind, int Rows, int Width>
struct Sums {
  float values[kAtOnce][Rows][Width / 8][4] =
      {};      // the first planes' begin with the bias, which goes to both
  int row;     // of pixels
  int column;  // of the block's columns

  __device__ __forceinline__ void add_tap(const unsigned char* pixels, const unsigned char* weights,
                                          int columns, int down, int across, int lane) {
#pragma unroll
    for (int plane = 0; plane < kAtOnce; ++plane) {
      TapProducts<Kind, Rows, Width / 8> products(values[plane]);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        std::uint32_t a[Rows][4];
#pragma unroll
        for (int i = 0; i < Rows; ++i) {
          const int pixel = (row + i + down) * kConvBordered + lane % 16 + across;
          load_tiles(a[i],
                     pixels + plane * bordered_bytes(kHeight) + conv_offset(pixel, 2 * half + lane / 16));
        }
#pragma unroll
        for (int j = 0; j < Width / 16; ++j) {
          std::uint32_t b[4];
          const int of = plane * columns + column + 16 * j + lane / 16 * 8 + lane % 8;
          load_tiles(b, weights + conv_offset(of, 2 * half + lane / 8 % 2));
#pragma unroll
          for (int side = 0; side < 2; ++side) {
            const std::uint32_t right[2] = {b[2 * side], b[2 * side + 1]};
#pragma unroll
            for (int i = 0; i < Rows; ++i) products.add(i, 2 * j + side, a[i], right);
          }
        }
      }
      products.finish();
    }
  }

  /// The first planes' sum goes to both frames; their difference is added to one and taken from the other.
  __device__ __forceinline__ void spread() {
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
#pragma unroll
      for (int j = 0; j < Width / 8; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float sum = values[0][i][j][e];
          const float difference = values[1][i][j][e];
          values[0][i][j][e] = sum + difference;
          values[1][i][j][e] = sum - difference;
        }
      }
    }
  }

  /// first: channel of the thread's first sums.
  __device__ __forceinline__ void store(const ConvWeight& weight, const ConvOutput& out, int frame,
                                        int height, int width, int top, int left, int first, int lane) const {
    const ConvStore<Width / 8> to(weight, out, first);
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int y = top + row + i;
        const int x = left + lane / 4 + 8 * half;
        if (y >= height || x >= width) continue;
        const auto& sums = values[frame][i];
        to(y * width + x, [&](int j) { return make_float2(sums[j][2 * half], sums[j][2 * half + 1]); });
      }
    }
  }
};

template <ProductSums Kind, int Columns>
__global__ void __launch_bounds__(kConvThreads, 1)
    conv_pair_kernel(ConvPlanes in, ConvWeight weight, ConvOutput first, ConvOutput second) {
  constexpr int kWarpsAcross = Columns >= 64 ? 2 : 1;
  constexpr int kRows = kHeight * kWarpsAcross / kConvWarps;
  constexpr int kWidth = Columns / kWarpsAcross;
  constexpr int kStageBytes = kAtOnce * tap_bytes(Columns);
  unsigned char* const pixels = shared_memory();
  unsigned char* const weights = pixels + 2 * kPixelsBytes;
  const int thread = static_cast<int>(threadIdx.x);
  const int block = static_cast<int>(blockIdx.x) % weight.column_blocks;
  const int tile = static_cast<int>(blockIdx.x) / weight.column_blocks;
  const int across = static_cast<int>(ceil_div(in.width, kConvSide));
  const int top = tile / across * kHeight;
  const int left = tile % across * kConvSide;
  const int slices = static_cast<int>(ceil_div(in.channels, kConvDepth));
  const int turns = 2 * slices;  // of 32 channels of two planes
  constexpr int kTapValues = Columns * kConvDepth;
  const std::int64_t block_values = static_cast<std::int64_t>(slices) * kTaps * kTapValues;
  const ConvInput size{{}, in.height, in.width, in.channels};

  const auto start_pixels = [&](int turn) {
#pragma unroll
    for (int plane = 0; plane < kAtOnce; ++plane) {
      const F16* values = turn < slices ? in.planes[plane] : in.planes[kAtOnce + plane];
      copy_pixels<kHeight>(pixels + turn % 2 * kPixelsBytes + plane * bordered_bytes(kHeight), size, values,
                           turn % slices * kConvDepth, top - 1, left - 1, kHeight + 2, kConvBordered, thread);
    }
  };
  const auto start_weights = [&](int step) {
    const int turn = step / kTaps;
    const int plane = turn < slices ? 0 : kAtOnce;
    const F16* from = weight.values + (plane * weight.column_blocks + block) * block_values +
                      static_cast<std::int64_t>(turn % slices * kTaps + step % kTaps) * kTapValues;
    unsigned char* to = weights + step % kStages * kStageBytes;
    copy_weights(to, from, Columns, thread);
    copy_weights(to + tap_bytes(Columns), from + weight.column_blocks * block_values, Columns, thread);
  };
  start_pixels(0);
#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) {
    start_weights(step);
    copy_commit();
  }
  Sums<Kind, kRows, kWidth> sums;
  sums.row = thread / kWarp / kWarpsAcross * kRows;
  sums.column = thread / kWarp % kWarpsAcross * kWidth;
  const int first_channel = block * Columns + sums.column + thread % 4 * 2;
#pragma unroll
  for (int i = 0; i < kRows; ++i) start_sums(sums.values[0][i], weight.bias, first_channel);
  int step = 0;
  for (int turn = 0; turn < turns; ++turn) {
    if (turn == slices) sums.spread();
#pragma unroll 1
    for (int tap = 0; tap < kTaps; ++tap, ++step) {
      copy_wait<kStages - 2>();
      __syncthreads();
      if (step + kStages - 1 < turns * kTaps) start_weights(step + kStages - 1);
      if (tap == 0 && turn + 1 < turns) start_pixels(turn + 1);
      copy_commit();
      sums.add_tap(pixels + turn % 2 * kPixelsBytes, weights + step % kStages * kStageBytes, Columns,
                   tap / kConvMaxTaps, tap % kConvMaxTaps, thread % kWarp);
    }
  }
  sums.store(weight, first, 0, in.height, in.width, top, left, first_channel, thread % kWarp);
  sums.store(weight, second, 1, in.height, in.width, top, left, first_channel, thread % kWarp);
}

}  // namespace

void convolve_pair(Queue& queue, const ConvPlanes& x, const ConvWeight& weight, const ConvOutput& first,
                   const ConvOutput& second, std::optional<PairTiles> chosen) {
  const PairTiles tiling = chosen ? *chosen : best_pair_tiles(queue.device(), x, weight);
  if (is_wgmma(tiling)) return convolve_pair_wgmma(queue, x, weight, first, second, tiling);
  const auto tiles = static_cast<unsigned>(ceil_div(x.height, kHeight) * ceil_div(x.width, kConvSide));
  with_columns(weight, [&](auto columns) {
    constexpr int kColumns = columns.value;
    queue.launch("convolve_pair",
                 tiling == PairTiles::half_sums ? conv_pair_kernel<ProductSums::halves, kColumns>
                                                : conv_pair_kernel<ProductSums::floats, kColumns>,
                 {dim3(tiles * static_cast<unsigned>(weight.column_blocks)), kConvThreads,
                  static_cast<std::size_t>(shared_bytes(kColumns))},
                 x, weight, first, second);
  });
}

}  // namespace turboclip::cuda
