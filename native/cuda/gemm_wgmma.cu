// The W8A8 product on Hopper: a block stays on its multiprocessor and takes tile after tile. One thread keeps
// four stages of 128 of K filled by tensor copies, through the epilogues too; two warpgroups multiply 128
// rows each, 64 at a time, and promote the int32 sums of one while the other multiplies. Two blocks in a
// cluster may take neighbouring columns: each then reads half of their rows of x, for both.
#include <algorithm>

#include "cuda/gemm_wgmma.h"
#include "cuda/hopper.cuh"

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
static_assert(kStageBytes % kAlignment == 0 && kSharedBytes <= static_cast<int>(kDeepSharedBytes));
/// Tiles of rows that are taken together, so that their x and a few columns of W stay in L2.
constexpr int kGroupTiles = 8;
// Of 65,536 registers; a launch's share must be met by every warpgroup, so it starts with a third each.
constexpr int kCopierRegisters = 40;
constexpr int kProductRegisters = 232;

/// What is chosen of a kernel. Turns: the warpgroups multiply one after the other; Blocks: of a cluster.
template <bool Turns, int Blocks>
struct Variant {
  static constexpr bool kTurns = Turns;
  static constexpr int kBlocks = Blocks;
};

struct Tile {
  int row, column;
};

/// The tile of a place in the order of work: groups of kGroupTiles tiles of rows, down the rows first.
__device__ __forceinline__ Tile tile_at(int index, int row_tiles, int column_tiles) {
  const int per_group = kGroupTiles * column_tiles;
  const int first = index / per_group * kGroupTiles;
  const int height = row_tiles - first < kGroupTiles ? row_tiles - first : kGroupTiles;
  return {(first + index % per_group % height) * kRows, index % per_group / height * kColumns};
}

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

struct Work {
  int row_tiles, column_tiles, blocks_of_k;
};

/// One thread's work: copies of all tiles of the block.
__device__ __forceinline__ void copy_tiles(const Shared& shared, const CUtensorMap& x_map,
                                           const CUtensorMap& w_map, const Int8Rows& x, const Work& work) {
  const auto stride = static_cast<int>(scale_stride(x.rows));
  Ring ring;
  for (int index = static_cast<int>(blockIdx.x); index < work.row_tiles * work.column_tiles;
       index += static_cast<int>(gridDim.x)) {
    const Tile tile = tile_at(index, work.row_tiles, work.column_tiles);
    const int scales =
        (stride - tile.row < kRows ? stride - tile.row : kRows) * static_cast<int>(sizeof(float));
    for (int k = 0; k < work.blocks_of_k; ++k) {
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
  }
}

/// One warpgroup's 128 rows of a tile: sums [half of 64 rows][columns / 8][fragment].
template <bool Turns>
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
      if constexpr (Turns) hopper::wait_turn(1 + group, kGroups * hopper::kWarpgroup);
      hopper::begin_products();
#pragma unroll
      for (int step = 0; step < kDepth / 32; ++step) {
        hopper::multiply_64x128(partial, x + 2 * step, w + 2 * step, step > 0);
      }
      hopper::commit_products();
      if constexpr (Turns) hopper::give_turn(2 - group, kGroups * hopper::kWarpgroup);
      hopper::wait_products(partial);
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

template <bool Turns, class Epilogue>
__global__ void __launch_bounds__(kThreads, 1)
    gemm_wgmma_kernel(const __grid_constant__ CUtensorMap x_map, const __grid_constant__ CUtensorMap w_map,
                      Int8Rows x, Int8Weight weight, Epilogue epilogue) {
  unsigned char* begin = shared_memory();
  const Shared shared{begin + (kAlignment - shared_address(begin) % kAlignment) % kAlignment};
  const int warpgroup = static_cast<int>(threadIdx.x) / hopper::kWarpgroup;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      hopper::initialize(shared.filled(i), 1);
      hopper::initialize(shared.emptied(i), kGroups * hopper::kWarpgroup / kWarp);
    }
    hopper::publish_barriers();
  }
  __syncthreads();
  const Work work{static_cast<int>(ceil_div(x.rows, kRows)), static_cast<int>(weight.out / kColumns),
                  static_cast<int>(weight.in / kDepth)};
  if (warpgroup == 0) {
    hopper::give_registers<kCopierRegisters>();
    if (threadIdx.x == 0) copy_tiles(shared, x_map, w_map, x, work);
  } else {
    hopper::take_registers<kProductRegisters>();
    const int group = warpgroup - 1;
    const int thread = static_cast<int>(threadIdx.x) % hopper::kWarpgroup;
    const int warp = thread / kWarp;
    const int lane = thread % kWarp;
    auto* slab = reinterpret_cast<float*>(shared.base + kSlabs + (group * 4 + warp) * kSlabBytes);
    // The first turn is the first group's.
    if (Turns && group == 1) hopper::give_turn(1, kGroups * hopper::kWarpgroup);
    Ring ring;
    for (int index = static_cast<int>(blockIdx.x); index < work.row_tiles * work.column_tiles;
         index += static_cast<int>(gridDim.x)) {
      const Tile tile = tile_at(index, work.row_tiles, work.column_tiles);
      float sums[2][16][4] = {};
      multiply_tile<Turns>(sums, shared, ring, weight.scales + tile.column / kScaleGroup * work.blocks_of_k,
                           work.blocks_of_k, group, thread);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        finish_rows(sums[half], epilogue, weight.bias, slab,
                    tile.row + group * (kRows / kGroups) + 64 * half + 16 * warp, static_cast<int>(x.rows),
                    tile.column, lane);
      }
    }
    // Nobody leaves while a turn given is not taken.
    if (Turns && group == 0) hopper::wait_turn(1, kGroups * hopper::kWarpgroup);
  }
}

using Encode = decltype(&cuTensorMapEncodeTiled);

/// The driver's function, which a library that is opened without one must not link with; nullptr if it has
/// none.
Encode find_encode() {
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found{};
  constexpr unsigned kSince = 12000;
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, kSince, cudaEnableDefault, &found) !=
          cudaSuccess ||
      found != cudaDriverEntryPointSuccess) {
    return nullptr;
  }
  return reinterpret_cast<Encode>(entry);
}

/// Boxes of `box` rows by 128 columns of int8 values [rows, width], swizzled; rows past the last read as
/// zeros.
bool describe(CUtensorMap& map, const std::int8_t* values, std::int64_t rows, std::int64_t width, int box) {
  static const Encode encode = find_encode();
  if (encode == nullptr) return false;
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(width), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(width)};
  const cuuint32_t box_sizes[2] = {kDepth, static_cast<cuuint32_t>(box)};
  const cuuint32_t steps[2] = {1, 1};
  return encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, const_cast<std::int8_t*>(values), sizes, strides,
                box_sizes, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

template <bool Turns, class Epilogue>
void launch(Queue& queue, const char* name, const Int8Rows& x, const Int8Weight& weight,
            const Epilogue& epilogue) {
  CUtensorMap x_map{};
  CUtensorMap w_map{};
  if (!describe(x_map, x.values, x.rows, x.width, kRows) ||
      !describe(w_map, weight.values, weight.out, weight.in, kColumns)) {
    return queue.check(name, cudaErrorNotSupported);
  }
  const std::int64_t tiles = ceil_div(x.rows, kRows) * (weight.out / kColumns);
  const auto blocks = static_cast<unsigned>(std::min<std::int64_t>(tiles, queue.device().multiprocessors));
  queue.launch(name, gemm_wgmma_kernel<Turns, Epilogue>, {dim3(blocks), kThreads, kSharedBytes}, x_map, w_map,
               x, weight, epilogue);
}

}  // namespace

template <class Epilogue>
void multiply_wgmma(Queue& queue, const char* name, const Int8Rows& x, const Int8Weight& weight,
                    const Epilogue& epilogue, bool turns) {
  return turns ? launch<true>(queue, name, x, weight, epilogue)
               : launch<false>(queue, name, x, weight, epilogue);
}

template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const StoreBf16&, bool);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&,
                             const StoreBf16WithSquares&, bool);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const StoreGeluInt8&,
                             bool);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const AddToResidual&,
                             bool);

}  // namespace turboclip::cuda
