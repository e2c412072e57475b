// The W8A8 product on Hopper: a block stays on its multiprocessor and takes tile after tile. One thread keeps
// four stages of 128 of K filled by tensor copies, through the epilogues too; two warpgroups multiply 128
// rows each, 64 at a time, and promote the int32 sums of one while the other multiplies.
#include <algorithm>

#include "cuda/gemm_wgmma.h"
#include "cuda/hopper.cuh"
#include "cuda/tensor_map.h"

namespace turboclip::cuda {
namespace {

constexpr int kRows = 256;
constexpr int kColumns = kScaleGroup;
constexpr int kDepth = kScaleGroup;
constexpr int kGroups = 2;  // of warps, that multiply
constexpr int kThreads = (1 + kGroups) * hopper::kWarpgroup;
constexpr int kStages = 4;
constexpr int kTileBytes = (kRows + kColumns) * kDepth;
constexpr int kStageBytes = kTileBytes + kRows * static_cast<int>(sizeof(float));
constexpr int kAlignment = 1024;  // of rows that are swizzled
constexpr int kSlabs = kStages * kStageBytes;
constexpr int kBarriers = kSlabs + kGroups * 4 * kSlabBytes;
constexpr int kSharedBytes = kAlignment + kBarriers + 2 * kStages * static_cast<int>(sizeof(hopper::Barrier));
static_assert(kStageBytes % kAlignment == 0 && kSharedBytes <= (227 << 10));
/// Tiles of rows that are taken together, so that their x and a few columns of W stay in L2.
constexpr int kGroupTiles = 8;
// Of 65,536 registers; a launch's share must be met by every warpgroup, so it starts with a third each.
constexpr int kCopierRegisters = 40;
constexpr int kProductRegisters = 232;

struct Tile {
  int row, column;
};

/// Place in the ring of stages, and the parity of the round.
struct Ring {
  int stage = 0;
  unsigned parity = 0;
  __device__ __forceinline__ void advance() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1;
  }
};

struct Shared {
  unsigned char* base;
  __device__ __forceinline__ unsigned char* stage(int i) const { return base + i * kStageBytes; }
  __device__ __forceinline__ hopper::Barrier& filled(int i) const {
    return reinterpret_cast<hopper::Barrier*>(base + kBarriers)[i];
  }
  __device__ __forceinline__ hopper::Barrier& emptied(int i) const { return (&filled(kStages))[i]; }
};

/// Tiles of a product, in the order in which blocks take them: groups of kGroupTiles tiles of rows, down the
/// rows first, then to the next columns.
struct Tiles {
  int row_tiles, column_tiles;
  int blocks_of_k;

  __device__ __forceinline__ Tiles(const Int8Rows& x, const Int8Weight& weight)
      : row_tiles(static_cast<int>(ceil_div(x.rows, kRows))),
        column_tiles(static_cast<int>(weight.out / kColumns)),
        blocks_of_k(static_cast<int>(weight.in / kDepth)) {}

  template <class Body>
  __device__ __forceinline__ void for_each(const Body& body) const {
    for (int index = static_cast<int>(blockIdx.x); index < row_tiles * column_tiles;
         index += static_cast<int>(gridDim.x)) {
      const int per_group = kGroupTiles * column_tiles;
      const int first = index / per_group * kGroupTiles;
      const int height = row_tiles - first < kGroupTiles ? row_tiles - first : kGroupTiles;
      const int column = index % per_group / height;
      body(Tile{(first + index % per_group % height) * kRows, column * kColumns});
    }
  }
};

/// One thread's work: copies of all tiles of the block.
__device__ __forceinline__ void copy_tiles(const Shared& shared, const CUtensorMap& x_map,
                                           const CUtensorMap& w_map, const Int8Rows& x, const Tiles& tiles) {
  const auto stride = static_cast<int>(scale_stride(x.rows));
  Ring ring;
  tiles.for_each([&](const Tile& tile) {
    const int scales =
        (stride - tile.row < kRows ? stride - tile.row : kRows) * static_cast<int>(sizeof(float));
    for (int k = 0; k < tiles.blocks_of_k; ++k) {
      hopper::wait(shared.emptied(ring.stage), ring.parity ^ 1);
      hopper::Barrier& filled = shared.filled(ring.stage);
      unsigned char* to = shared.stage(ring.stage);
      hopper::arrive_expecting(filled, kTileBytes + scales);
      hopper::copy_box(to, x_map, k * kDepth, tile.row, filled);
      hopper::copy_box(to + kRows * kDepth, w_map, k * kDepth, tile.column, filled);
      hopper::copy_bytes(to + kTileBytes, x.scales + static_cast<std::int64_t>(k) * stride + tile.row, scales,
                         filled);
      ring.advance();
    }
  });
}

/// One warpgroup's 128 rows of a tile: sums [half of 64 rows][columns / 8][fragment].
///
/// racecheck knows of no order between copies and reads that only these barriers order, and reports them.
/// Read after write: each thread waits itself for `filled`, whose phase lasts until the copies' bytes are
/// there. Write after read: x and W are read by products alone, which wait_products has seen to their end,
/// and a row's scales into registers before the second half's products begin; both before the warp's arrival
/// at `emptied`, by __syncwarp for all lanes and with release for the one. The copier writes only after all
/// eight warps have arrived.
__device__ __forceinline__ void multiply_tile(float (&sums)[2][16][4], const Shared& shared, Ring& ring,
                                              const float* w_scales, int blocks_of_k, int group, int thread) {
  const int lane = thread % kWarp;
  const int first_row = group * (kRows / kGroups);
  for (int k = 0; k < blocks_of_k; ++k) {
    const float w_scale = w_scales[k];
    hopper::wait(shared.filled(ring.stage), ring.parity);
    const unsigned char* stage = shared.stage(ring.stage);
    const auto* scales =
        reinterpret_cast<const float*>(stage + kTileBytes) + first_row + thread / kWarp * 16 + lane / 4;
    const std::uint64_t w = hopper::describe_rows(stage + kRows * kDepth);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::uint64_t x = hopper::describe_rows(stage + (first_row + 64 * half) * kDepth);
      const float scale[2] = {scales[64 * half] * w_scale, scales[64 * half + 8] * w_scale};
      std::int32_t partial[16][4];
      hopper::begin_products();
#pragma unroll
      for (int step = 0; step < kDepth / 32; ++step) {
        hopper::multiply_64x128(partial, x + 2 * step, w + 2 * step, step > 0);
      }
      hopper::commit_products();
      hopper::wait_products<0>();
      hopper::settle(partial);
      if (half == 1) {
        __syncwarp();
        if (lane == 0) hopper::arrive(shared.emptied(ring.stage));
      }
#pragma unroll
      for (int j = 0; j < 16; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          sums[half][j][e] = fmaf(static_cast<float>(partial[j][e]), scale[e / 2], sums[half][j][e]);
        }
      }
    }
    ring.advance();
  }
}

/// The epilogue of 64 rows, 16 a warp.
template <class Epilogue>
__device__ __forceinline__ void finish_rows(float (&sums)[16][4], const Epilogue& epilogue, const float* bias,
                                            float* slab, int row, int rows, int column, int lane) {
  add_bias(sums, epilogue, bias + column, lane);
  float statistic[2] = {0, 0};
  if constexpr (Epilogue::kStatistic != RowStatistic::none) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      statistic[half] = row_statistic<Epilogue::kStatistic>(sums, half);
      const int r = row + lane / 4 + 8 * half;
      if (lane % 4 == 0 && r < rows) epilogue.row_done(r, column, statistic[half]);
    }
  }
#pragma unroll
  for (int c = 0; c < kColumns; c += kSlabColumns) {
    store_rows(slab, sums + c / 8, epilogue, statistic, row, rows, column + c, lane);
  }
}

template <class Epilogue>
__global__ void __launch_bounds__(kThreads, 1)
    gemm_wgmma_kernel(const __grid_constant__ CUtensorMap x_map, const __grid_constant__ CUtensorMap w_map,
                      Int8Rows x, Int8Weight weight, Epilogue epilogue) {
  constexpr int kProductThreads = kGroups * hopper::kWarpgroup;
  unsigned char* begin = shared_memory();
  const Shared shared{begin + (kAlignment - shared_address(begin) % kAlignment) % kAlignment};
  const int warpgroup = static_cast<int>(threadIdx.x) / hopper::kWarpgroup;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      hopper::initialize(shared.filled(i), 1);
      hopper::initialize(shared.emptied(i), kProductThreads / kWarp);
    }
    hopper::publish_barriers();
  }
  __syncthreads();
  const Tiles tiles(x, weight);
  if (warpgroup == 0) {
    hopper::give_registers<kCopierRegisters>();
    if (threadIdx.x == 0) copy_tiles(shared, x_map, w_map, x, tiles);
  } else {
    hopper::take_registers<kProductRegisters>();
    const int group = warpgroup - 1;
    const int thread = static_cast<int>(threadIdx.x) % hopper::kWarpgroup;
    const int warp = thread / kWarp;
    const int lane = thread % kWarp;
    auto* slab = reinterpret_cast<float*>(shared.base + kSlabs + (group * 4 + warp) * kSlabBytes);
    Ring ring;
    tiles.for_each([&](const Tile& tile) {
      float sums[2][16][4] = {};
      multiply_tile(sums, shared, ring, weight.scales + tile.column / kScaleGroup * tiles.blocks_of_k,
                    tiles.blocks_of_k, group, thread);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        finish_rows(sums[half], epilogue, weight.bias, slab,
                    tile.row + group * (kRows / kGroups) + 64 * half + 16 * warp, static_cast<int>(x.rows),
                    tile.column, lane);
      }
    });
  }
}

}  // namespace

template <class Epilogue>
void multiply_wgmma(Queue& queue, const char* name, const Int8Rows& x, const Int8Weight& weight,
                    const Epilogue& epilogue) {
  CUtensorMap x_map{};
  CUtensorMap w_map{};
  if (!describe(x_map, x.values, x.rows, x.width, kRows) ||
      !describe(w_map, weight.values, weight.out, weight.in, kColumns)) {
    return queue.check(name, cudaErrorNotSupported);
  }
  const std::int64_t tiles = ceil_div(x.rows, kRows) * (weight.out / kColumns);
  const std::int64_t places = queue.device().multiprocessors;
  queue.launch(name, gemm_wgmma_kernel<Epilogue>,
               {dim3(static_cast<unsigned>(std::min(tiles, places))), kThreads, kSharedBytes}, x_map, w_map,
               x, weight, epilogue);
}

template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const StoreBf16&);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&,
                             const StoreBf16WithSquares&);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const StoreGeluInt8&);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const AddToResidual&);

}  // namespace turboclip::cuda
