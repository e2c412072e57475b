// Convolutions on Hopper: a block stays on its multiprocessor and takes tile after tile. Of each 32 channels
// of a frame the tile's pixels with their border lie in shared memory once for all taps, and a tap is nothing
// but another address to begin at. Two threads keep pixels and weights coming by tensor copies, through the
// epilogues too; two warpgroups multiply 8 x 8 pixels at a time.
#include <algorithm>

#include "cuda/conv_store.cuh"
#include "cuda/conv_wgmma.h"
#include "cuda/hopper_frames.cuh"
#include "cuda/tensor_map.h"

namespace turboclip::cuda {
namespace {

constexpr int kGroups = 2;  // of warps, that multiply
constexpr int kThreads = (1 + kGroups) * hopper::kWarpgroup;
constexpr int kSpot = 8;  // pixels of a product's side
constexpr int kRowBytes = kConvDepth * static_cast<int>(sizeof(F16));
constexpr int kAlignment = 1024;
constexpr int kSharedMost = 227 << 10;
constexpr int kPixelStages = 2;
constexpr int kMostStages = 16;
// Of 65,536 registers; a launch's share must be met by every warpgroup, so it starts with a third each.
constexpr int kCopierRegisters = 40;
constexpr int kProductRegisters = 232;

/// Pictures that a tensor copy takes boxes from.
struct Maps {
  CUtensorMap frame[kConvPlanes];
};

/// A block's tile. Columns: of the weights; Spots: of 8 x 8 pixels that a warpgroup multiplies; Pair: the
/// first half of them are of the planes for two frames' sum, the others of those for their difference.
template <int Columns, int Spots, bool Pair>
struct Tile {
  static constexpr int kColumns = Columns;
  static constexpr int kSums = Spots;
  static constexpr bool kPair = Pair;
  static constexpr int kPlanes = Pair ? 2 : 1;
  static constexpr int kGroupSpots = Spots / kPlanes;
  static constexpr int kAcross = kGroups * kGroupSpots >= 8 ? 4 : 2;
  static constexpr int kDown = kGroups * kGroupSpots / kAcross;
  static_assert(kGroupSpots == kAcross || kGroups * kGroupSpots == kAcross, "a group's spots are of one row");
  static constexpr int kWidth = kAcross * kSpot;
  static constexpr int kHeight = kDown * kSpot;

  static constexpr int kPlaneBytes =
      static_cast<int>(
          ceil_div((kWidth + kConvMaxTaps - 1) * (kHeight + kConvMaxTaps - 1) * kRowBytes, kAlignment)) *
      kAlignment;
  static constexpr int kPixelsBytes = kPlanes * kPlaneBytes;
  static constexpr int kWeightBytes = Columns * kRowBytes;  // of a tap and a plane
  static constexpr int kTapBytes = kPlanes * kWeightBytes;
  static constexpr int kBarriersBytes =
      2 * (kPixelStages + kMostStages) * static_cast<int>(sizeof(hopper::Barrier));
  static constexpr int kStages = std::min(
      kMostStages, (kSharedMost - kAlignment - kBarriersBytes - kPixelStages * kPixelsBytes) / kTapBytes);
  static constexpr int kBarriers = kPixelStages * kPixelsBytes + kStages * kTapBytes;
  static constexpr int kSharedBytes = kAlignment + kBarriers + kBarriersBytes;
  static_assert(kStages >= 4 && kSharedBytes <= kSharedMost);
};

/// Place in a ring of stages, and the parity of the round.
template <int Stages>
struct Ring {
  int stage = 0;
  unsigned parity = 0;
  __device__ __forceinline__ void advance() {
    if (++stage < Stages) return;
    stage = 0;
    parity ^= 1;
  }
  __device__ __forceinline__ int last() const { return (stage == 0 ? Stages : stage) - 1; }
};

template <class Shape>
struct Shared {
  unsigned char* base;
  __device__ __forceinline__ unsigned char* pixels(int i) const { return base + i * Shape::kPixelsBytes; }
  __device__ __forceinline__ unsigned char* weights(int i) const {
    return base + kPixelStages * Shape::kPixelsBytes + i * Shape::kTapBytes;
  }
  __device__ __forceinline__ hopper::Barrier* barriers() const {
    return reinterpret_cast<hopper::Barrier*>(base + Shape::kBarriers);
  }
  __device__ __forceinline__ hopper::Barrier& pixels_filled(int i) const { return barriers()[i]; }
  __device__ __forceinline__ hopper::Barrier& pixels_emptied(int i) const {
    return barriers()[kPixelStages + i];
  }
  __device__ __forceinline__ hopper::Barrier& weights_filled(int i) const {
    return barriers()[2 * kPixelStages + i];
  }
  __device__ __forceinline__ hopper::Barrier& weights_emptied(int i) const {
    return barriers()[2 * kPixelStages + kMostStages + i];
  }
};

/// The convolution as a block sees it.
struct Work {
  int height, width;  // of the input
  int slices;         // of 32 channels
  int first_turn;     // a turn: 32 channels of a frame, or of a pair's planes
  int turns;

  template <class Shape, class Body>
  __device__ __forceinline__ void for_each(const ConvWeight& weight, const Body& body) const {
    const int across = static_cast<int>(ceil_div(width, Shape::kWidth));
    const int down = static_cast<int>(ceil_div(height, Shape::kHeight));
    const int columns = weight.column_blocks * weight.columns / Shape::kColumns;
    const int phases = Shape::kPair ? 1 : weight.phases;
    for (int index = static_cast<int>(blockIdx.x); index < across * down * columns * phases;
         index += static_cast<int>(gridDim.x)) {
      const int tile = index / columns / phases;
      body(tile / across * Shape::kHeight, tile % across * Shape::kWidth, index % columns,
           index / columns % phases);
    }
  }
};

/// One thread's work: the pixels of all turns of the block's tiles.
template <class Shape>
__device__ __forceinline__ void copy_pixels(const Shared<Shape>& shared, const Maps& maps, const Work& work,
                                            const ConvWeight& weight) {
  const bool doubling = !Shape::kPair && weight.phases > 1;
  const int bytes = (Shape::kWidth + weight.across - 1) * (Shape::kHeight + weight.down - 1) * kRowBytes;
  Ring<kPixelStages> ring;
  work.for_each<Shape>(weight, [&](int y, int x, int, int phase) {
    // Taps begin one pixel before the output's; of the doubled picture's odd rows and columns with it.
    const int top = y - (doubling ? 1 - phase / 2 : weight.down / 2);
    const int left = x - (doubling ? 1 - phase % 2 : weight.across / 2);
    for (int turn = work.first_turn; turn < work.turns; ++turn) {
      hopper::wait(shared.pixels_emptied(ring.stage), ring.parity ^ 1);
      hopper::Barrier& filled = shared.pixels_filled(ring.stage);
      hopper::arrive_expecting(filled, static_cast<unsigned>(Shape::kPlanes * bytes));
#pragma unroll
      for (int plane = 0; plane < Shape::kPlanes; ++plane) {
        hopper::copy_frame_box(shared.pixels(ring.stage) + plane * Shape::kPlaneBytes,
                               maps.frame[turn / work.slices * Shape::kPlanes + plane],
                               turn % work.slices * kConvDepth, left, top, filled);
      }
      ring.advance();
    }
  });
}

/// Another's: their weights. A tile may be as wide as two blocks of columns of the weights.
template <class Shape>
__device__ __forceinline__ void copy_weights(const Shared<Shape>& shared, const Work& work,
                                             const ConvWeight& weight) {
  const int taps = weight.down * weight.across;
  const int tap_values = weight.columns * kConvDepth;
  const std::int64_t block_values = std::int64_t{weight.frames} * work.slices * taps * tap_values;
  const std::int64_t plane_values = weight.column_blocks * block_values;
  const int blocks = Shape::kColumns / weight.columns;
  Ring<Shape::kStages> ring;
  work.for_each<Shape>(weight, [&](int, int, int column, int phase) {
    // Turn after turn the taps follow one another. A pair's planes are the weights' phases, with one frame
    // each.
    const F16* from = weight.values + phase * plane_values + column * blocks * block_values +
                      static_cast<std::int64_t>(work.first_turn) * taps * tap_values;
    for (int left = (work.turns - work.first_turn) * taps; left > 0; --left) {
      hopper::wait(shared.weights_emptied(ring.stage), ring.parity ^ 1);
      hopper::Barrier& filled = shared.weights_filled(ring.stage);
      hopper::arrive_expecting(filled, Shape::kTapBytes);
      const auto bytes = static_cast<unsigned>(tap_values) * static_cast<unsigned>(sizeof(F16));
      unsigned char* to = shared.weights(ring.stage);
#pragma unroll
      for (int plane = 0; plane < Shape::kPlanes; ++plane) {
        hopper::copy_bytes(to, from + plane * plane_values, bytes, filled);
        if (blocks > 1) {
          hopper::copy_bytes(to + bytes, from + plane * plane_values + block_values, bytes, filled);
        }
        to += Shape::kWeightBytes;
      }
      ring.advance();
      from += tap_values;
      // The second two planes.
      if (Shape::kPair && left == work.turns / 2 * taps + 1) from += 2 * plane_values - block_values;
    }
  });
}

template <class Shape>
using Sums = float[Shape::kSums][Shape::kColumns / 8][4];

/// A warpgroup's first pixel in the tile; its spots follow to the right.
template <class Shape>
struct Spots {
  int y, x;
  explicit __device__ __forceinline__ Spots(int group)
      : y(group * Shape::kGroupSpots / Shape::kAcross * kSpot),
        x(group * Shape::kGroupSpots % Shape::kAcross * kSpot) {}
};

/// What a warpgroup knows of the rings.
template <class Shape>
struct Rings {
  Ring<kPixelStages> pixels;
  Ring<Shape::kStages> weights;
};

/// What a warpgroup multiplies of one tile. Pixels and weights are read by products alone, which
/// wait_products has seen to their end before a warp arrives at `emptied`; the copiers write only after all
/// eight warps have arrived.
template <class Shape>
struct Products {
  const Shared<Shape>& shared;
  Rings<Shape>& rings;
  const ConvWeight& weight;
  const Spots<Shape>& spots;
  int lane;

  /// Of the last tap, and of the pixels before the present ones: their products have ended.
  __device__ __forceinline__ void release(bool pixels) const {
    __syncwarp();
    if (lane != 0) return;
    hopper::arrive(shared.weights_emptied(rings.weights.last()));
    if (pixels) hopper::arrive(shared.pixels_emptied(rings.pixels.last()));
  }

  __device__ __forceinline__ void add_turns(Sums<Shape>& sums, int turns, bool first) {
    const int pitch = (Shape::kWidth + weight.across - 1) * kRowBytes;
    for (; turns > 0; --turns) {
      hopper::wait(shared.pixels_filled(rings.pixels.stage), rings.pixels.parity);
      std::uint64_t x = hopper::describe_half_rows(
          shared.pixels(rings.pixels.stage) + spots.y * pitch + spots.x * kRowBytes, pitch);
      int across = 0;
      for (int tap = weight.down * weight.across; tap > 0; --tap) {
        hopper::wait(shared.weights_filled(rings.weights.stage), rings.weights.parity);
        const std::uint64_t w =
            hopper::describe_half_rows(shared.weights(rings.weights.stage), 8 * kRowBytes);
        hopper::begin_products();
#pragma unroll
        for (int half = 0; half < 2; ++half) {
#pragma unroll
          for (int i = 0; i < Shape::kSums; ++i) {
            const int plane = i / Shape::kGroupSpots;
            const int spot = i % Shape::kGroupSpots;
            hopper::multiply_add_halves(
                sums[i],
                hopper::further(x, plane * Shape::kPlaneBytes + spot * kSpot * kRowBytes + half * 32),
                hopper::further(w, plane * Shape::kWeightBytes + half * 32));
          }
        }
        hopper::commit_products();
        hopper::wait_products<1>();
        if (!first) release(tap == weight.down * weight.across);
        first = false;
        rings.weights.advance();
        x = hopper::further(x, kRowBytes);
        if (++across == weight.across) {
          across = 0;
          x = hopper::further(x, pitch - weight.across * kRowBytes);
        }
      }
      rings.pixels.advance();
    }
  }
  __device__ __forceinline__ void finish(Sums<Shape>& sums) const {
    hopper::wait_products<0>();
#pragma unroll
    for (int i = 0; i < Shape::kSums; ++i) hopper::settle(sums[i]);
  }
};

/// Of a pair's first planes: the sum goes to both frames, the difference is added to one and taken from the
/// other.
template <class Shape>
__device__ __forceinline__ void spread(Sums<Shape>& sums) {
#pragma unroll
  for (int i = 0; i < Shape::kGroupSpots; ++i) {
#pragma unroll
    for (int j = 0; j < Shape::kColumns / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        // a - b, then 2 a - (a - b), in place: registers for more than the sums there are not, and the
        // compiler finds that out of the machine's own words alone.
        asm volatile(
            "{.reg .f32 taken; sub.f32 %1, %0, %1; neg.f32 taken, %1; fma.rn.f32 %0, %0, 0f40000000, taken;}"
            : "+f"(sums[i][j][e]), "+f"(sums[i + Shape::kGroupSpots][j][e]));
      }
    }
  }
}

/// A thread's sums of the tile at (top, left). first: channel of its first sums.
template <class Shape>
__device__ __forceinline__ void store_tile(const Sums<Shape>& sums, const Work& work,
                                           const ConvWeight& weight, const ConvOutput (&outs)[2], int top,
                                           int left, int first, int phase, int lane) {
  const int grid = !Shape::kPair && weight.phases > 1 ? 2 : 1;
#pragma unroll
  for (int i = 0; i < Shape::kSums; ++i) {
    const ConvStore<Shape::kColumns / 8> store(weight, outs[i / Shape::kGroupSpots], first);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int y = top + half;
      const int x = left + i % Shape::kGroupSpots * kSpot + lane / 4;
      if (y >= work.height || x >= work.width) continue;
      store((y * grid + phase / 2) * grid * work.width + x * grid + phase % 2,
            [&](int j) { return make_float2(sums[i][j][2 * half], sums[i][j][2 * half + 1]); });
    }
  }
}

struct Outputs {
  ConvOutput frame[2];
};

template <int Columns, int SpotsOfGroup, bool Pair>
__global__ void __launch_bounds__(kThreads, 1)
    conv_wgmma_kernel(const __grid_constant__ Maps maps, Work work, ConvWeight weight, Outputs outs) {
  using Shape = Tile<Columns, SpotsOfGroup, Pair>;
  unsigned char* begin = shared_memory();
  const Shared<Shape> shared{begin + (kAlignment - shared_address(begin) % kAlignment) % kAlignment};
  const int warpgroup = static_cast<int>(threadIdx.x) / hopper::kWarpgroup;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kPixelStages; ++i) {
      hopper::initialize(shared.pixels_filled(i), 1);
      hopper::initialize(shared.pixels_emptied(i), kGroups * hopper::kWarpgroup / kWarp);
    }
    for (int i = 0; i < Shape::kStages; ++i) {
      hopper::initialize(shared.weights_filled(i), 1);
      hopper::initialize(shared.weights_emptied(i), kGroups * hopper::kWarpgroup / kWarp);
    }
    hopper::publish_barriers();
  }
  __syncthreads();
  if (warpgroup == 0) {
    hopper::give_registers<kCopierRegisters>();
    if (threadIdx.x == 0) copy_pixels(shared, maps, work, weight);
    if (threadIdx.x == kWarp) copy_weights(shared, work, weight);
  } else {
    hopper::take_registers<kProductRegisters>();
    const int group = warpgroup - 1;
    const int thread = static_cast<int>(threadIdx.x) % hopper::kWarpgroup;
    const Spots<Shape> spots(group);
    Rings<Shape> rings;
    work.for_each<Shape>(weight, [&](int y, int x, int column, int phase) {
      const int first = column * Shape::kColumns + thread % 4 * 2;
      // A pair's first planes begin with the bias, which goes to both frames.
      Sums<Shape> sums = {};
#pragma unroll
      for (int i = 0; i < Shape::kGroupSpots; ++i) start_sums(sums[i], weight.bias, first);
      Products<Shape> products{shared, rings, weight, spots, thread % kWarp};
      if constexpr (Shape::kPair) {
        products.add_turns(sums, work.turns / 2, true);
        products.finish(sums);
        spread<Shape>(sums);
        products.add_turns(sums, work.turns / 2, false);
      } else {
        products.add_turns(sums, work.turns - work.first_turn, true);
      }
      products.finish(sums);
      products.release(true);
      store_tile<Shape>(sums, work, weight, outs.frame, y + spots.y + thread / kWarp * 2, x + spots.x, first,
                        phase, thread % kWarp);
    });
  }
}

}  // namespace

template <int Columns, int SpotsOfGroup, bool Pair>
static void launch(Queue& queue, const ConvInput& size, const F16* const* frames, int count, int skipped,
                   const ConvWeight& weight, const Outputs& outs) {
  using Shape = Tile<Columns, SpotsOfGroup, Pair>;
  Maps maps{};
  for (int i = skipped; i < count; ++i) {
    if (!describe_frame(maps.frame[i], frames[i], size.height, size.width, size.channels,
                        Shape::kHeight + weight.down - 1, Shape::kWidth + weight.across - 1, kConvDepth)) {
      return queue.check("convolve", cudaErrorNotSupported);
    }
  }
  const auto slices = static_cast<int>(ceil_div(size.channels, kConvDepth));
  const Work work{size.height, size.width, slices, skipped * slices, count / Shape::kPlanes * slices};
  const std::int64_t tiles = ceil_div(size.height, Shape::kHeight) * ceil_div(size.width, Shape::kWidth) *
                             (weight.column_blocks * weight.columns / Columns) * (Pair ? 1 : weight.phases);
  const std::int64_t places = queue.device().multiprocessors;
  queue.launch("convolve", conv_wgmma_kernel<Columns, SpotsOfGroup, Pair>,
               {dim3(static_cast<unsigned>(std::min(tiles, places))), kThreads, Shape::kSharedBytes}, maps,
               work, weight, outs);
}

void convolve_wgmma(Queue& queue, const ConvInput& x, const ConvWeight& weight, const ConvOutput& y,
                    ConvTiles tiles) {
  const int skipped = skipped_frames(x, weight);
  const auto run = [&](auto launcher) {
    launcher(queue, x, x.frames, weight.frames, skipped, weight, {{y, {}}});
  };
  switch (tiles) {
    case ConvTiles::wgmma_128:
      return run(launch<128, 2, false>);
    case ConvTiles::wgmma_96:
      return run(launch<96, 4, false>);
    case ConvTiles::wgmma_96_small:
      return run(launch<96, 2, false>);
    case ConvTiles::wgmma_64:
      return run(launch<64, 4, false>);
    default:
      return queue.check("convolve", cudaErrorInvalidValue);
  }
}

void convolve_pair_wgmma(Queue& queue, const ConvPlanes& x, const ConvWeight& weight, const ConvOutput& first,
                         const ConvOutput& second, PairTiles tiles) {
  const ConvInput size{{}, x.height, x.width, x.channels};
  const auto run = [&](auto launcher) {
    launcher(queue, size, x.planes, kConvPlanes, 0, weight, {{first, second}});
  };
  if (tiles == PairTiles::wgmma_small) return run(launch<96, 2, true>);
  run(launch<96, 4, true>);
}

}  // namespace turboclip::cuda
