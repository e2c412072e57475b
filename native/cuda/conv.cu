// A block computes 16 x 16 pixels of up to 96 output channels. Of each 32 channels of a frame the pixels with
// their border lie in shared memory once for all taps; the weights of a row of taps follow one another
// through two stages. Both come while the row of taps before is multiplied.
#include "cuda/conv_store.cuh"
#include "cuda/conv_sums.cuh"
#include "cuda/conv_tile.cuh"
#include "cuda/conv_tiles.h"
#include "cuda/conv_wgmma.h"

namespace turboclip::cuda {
namespace {

constexpr int kPixelsBytes = bordered_bytes(kConvSide);

constexpr int weights_bytes(int columns) { return kConvMaxTaps * columns * kConvRowBytes; }
constexpr int shared_bytes(int columns) { return 2 * (kPixelsBytes + weights_bytes(columns)); }
static_assert(shared_bytes(96) <= static_cast<int>(kSharedLimit));

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

/// A warp's share of the tile: Rows rows of 16 pixels by Width columns.
template <ProductSums Kind, int Rows, int Width>
struct Sums {
  float values[Rows][Width / 8][4];
  int row;     // of pixels
  int column;  // of the block's columns

  __device__ __forceinline__ void add_taps(const unsigned char* pixels, const unsigned char* weights,
                                           int down, int across, int columns, int lane) {
    TapProducts<Kind, Rows, Width / 8> products(values);
    for (int tap = 0; tap < across; ++tap) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        std::uint32_t a[Rows][4];
#pragma unroll
        for (int i = 0; i < Rows; ++i) {
          const int pixel = (row + i + down) * kConvBordered + lane % 16 + tap;
          load_tiles(a[i], pixels + conv_offset(pixel, 2 * half + lane / 16));
        }
#pragma unroll
        for (int j = 0; j < Width / 16; ++j) {
          std::uint32_t b[4];
          const int of = tap * columns + column + 16 * j + lane / 16 * 8 + lane % 8;
          load_tiles(b, weights + conv_offset(of, 2 * half + lane / 8 % 2));
#pragma unroll
          for (int side = 0; side < 2; ++side) {
            const std::uint32_t right[2] = {b[2 * side], b[2 * side + 1]};
#pragma unroll
            for (int i = 0; i < Rows; ++i) products.add(i, 2 * j + side, a[i], right);
          }
        }
      }
    }
    products.finish();
  }

  __device__ __forceinline__ void store(const ConvInput& in, const ConvWeight& weight, const ConvOutput& out,
                                        const Place& place, int lane) const {
    const int grid = weight.phases == 1 ? 1 : 2;
    const ConvStore<Width / 8> to(weight, out, first_channel(weight, place, lane));
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int y = place.y + row + i;
        const int x = place.x + lane / 4 + 8 * half;
        if (y >= in.height || x >= in.width) continue;
        const auto& sums = values[i];
        to((y * grid + place.phase / 2) * grid * in.width + x * grid + place.phase % 2,
           [&](int j) { return make_float2(sums[j][2 * half], sums[j][2 * half + 1]); });
      }
    }
  }

  __device__ __forceinline__ void start(const ConvWeight& weight, const Place& place, int lane) {
#pragma unroll
    for (int i = 0; i < Rows; ++i) start_sums(values[i], weight.bias, first_channel(weight, place, lane));
  }

 private:
  __device__ __forceinline__ int first_channel(const ConvWeight& weight, const Place& place, int lane) const {
    return place.column_block * weight.columns + column + lane % 4 * 2;
  }
};

template <ProductSums Kind, int Columns>
__global__ void __launch_bounds__(kConvThreads, 1)
    conv_kernel(ConvInput in, ConvWeight weight, ConvOutput out, int skipped) {
  constexpr int kWarpsAcross = Columns >= 64 ? 2 : 1;
  constexpr int kRows = kConvSide * kWarpsAcross / kConvWarps;
  constexpr int kWidth = Columns / kWarpsAcross;
  unsigned char* const pixels = shared_memory();
  unsigned char* const weights = pixels + 2 * kPixelsBytes;
  unsigned own = threadIdx.x;
  const auto thread = [&] { return static_cast<int>(own); };
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
    copy_pixels<kConvSide>(pixels + turn % 2 * kPixelsBytes, in, values, turn % slices * kConvDepth, top,
                           left, kConvSide + weight.down - 1, kConvSide + weight.across - 1, thread());
  };
  const auto start_weights = [&](int step) {
    copy_weights(weights + step % 2 * weights_bytes(Columns),
                 from + static_cast<std::int64_t>(step) * tap_row, weight.across * Columns, thread());
  };
  const int turns = weight.frames * slices;
  int turn = skipped * slices;
  int step = turn * weight.down;
  start_pixels(turn);
  start_weights(step);
  copy_commit();
  Sums<Kind, kRows, kWidth> sums;
  sums.row = thread() / kWarp / kWarpsAcross * kRows;
  sums.column = thread() / kWarp % kWarpsAcross * kWidth;
  sums.start(weight, place, thread() % kWarp);
  for (; turn < turns; ++turn) {
    for (int down = 0; down < weight.down; ++down, ++step) {
      forget(own);  // or what is computed from it would wait in registers
      copy_wait<0>();
      __syncthreads();
      if (step + 1 < turns * weight.down) start_weights(step + 1);
      if (down == 0 && turn + 1 < turns) start_pixels(turn + 1);
      copy_commit();
      sums.add_taps(pixels + turn % 2 * kPixelsBytes, weights + step % 2 * weights_bytes(Columns), down,
                    weight.across, Columns, thread() % kWarp);
    }
  }
  sums.store(in, weight, out, place, thread() % kWarp);
}

}  // namespace

void convolve(Queue& queue, const ConvInput& x, const ConvWeight& weight, const ConvOutput& y,
              ChosenConv chosen) {
  const ConvTiles tiling = chosen ? *chosen : best_conv_tiles(queue.device(), x, weight);
  if (is_wgmma(tiling)) return convolve_wgmma(queue, x, weight, y, tiling);
  const int skipped = skipped_frames(x, weight);
  const auto tiles = static_cast<unsigned>(ceil_div(x.height, kConvSide) * ceil_div(x.width, kConvSide));
  with_columns(weight, [&](auto columns) {
    constexpr int kColumns = columns.value;
    queue.launch(
        "convolve",
        tiling == ConvTiles::half_sums ? conv_kernel<ProductSums::halves, kColumns>
                                       : conv_kernel<ProductSums::floats, kColumns>,
        {dim3(tiles * static_cast<unsigned>(weight.column_blocks), static_cast<unsigned>(weight.phases)),
         kConvThreads, static_cast<std::size_t>(shared_bytes(kColumns))},
        x, weight, y, skipped);
  });
}

}  // namespace turboclip::cuda
