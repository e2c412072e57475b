// The W8A8 product where the card copies tensors: the portable kernel's products, promotions and results, but
// one thread fetches the operands for all, with a few instructions a block of K, and no barrier holds the
// warps together.
//
// A block stays on its multiprocessor and takes tile after tile. Two blocks of K of x and three of W are in
// shared memory: all that an RTX 5090 has. x of a block is in registers before the block begins, so its place
// is free when the first group of columns has been multiplied and the scales are read; W's is free when the
// last group has been loaded, shortly before. So one barrier frees x of a block and W of the block before,
// and copies have one and a quarter blocks' time; those of the next tile run through the epilogue.
//
// A ninth warp that only copies would leave every warp 168 registers: a quarter of the multiprocessor would
// have three.
#include <algorithm>

#include "cuda/gemm_quads.cuh"
#include "cuda/gemm_tensor_copies.h"
#include "cuda/gemm_warp.cuh"
#include "cuda/tensor_map.h"

namespace turboclip::cuda {
namespace {

constexpr unsigned kStages = 2;  // of x; W has one more
static_assert(kTensorCopiesWidth >= kStages * kGemmDepth);
constexpr int kXBytes = kGemmRows * kGemmDepth;
constexpr int kWBytes = kGemmColumns * kGemmDepth;
constexpr int kScaleBytes = kGemmRows * static_cast<int>(sizeof(float));
constexpr int kW = kStages * kXBytes;
constexpr int kScales = kW + (kStages + 1) * kWBytes;
constexpr int kWScales = kScales + kStages * kScaleBytes;
constexpr int kParts = kWScales + kStages * static_cast<int>(sizeof(float));
constexpr int kBarriers = kParts + kGemmRows * static_cast<int>(sizeof(float));
constexpr int kSharedBytes = kBarriers + 2 * kStages * static_cast<int>(sizeof(async::Barrier));
static_assert(blocks_by_shared_memory(kSharedBytes) == 1);

struct Shared {
  unsigned char* base;

  __device__ __forceinline__ unsigned char* x(unsigned slot) const { return base + slot * kXBytes; }
  __device__ __forceinline__ unsigned char* w(unsigned slot) const { return base + kW + slot * kWBytes; }
  __device__ __forceinline__ float* scales(unsigned slot) const {
    return reinterpret_cast<float*>(base + kScales + slot * kScaleBytes);
  }
  __device__ __forceinline__ float& w_scale(unsigned slot) const {
    return reinterpret_cast<float*>(base + kWScales)[slot];
  }
  __device__ __forceinline__ float* parts() const { return reinterpret_cast<float*>(base + kParts); }
  /// x and W of a block, and their scales, have come.
  __device__ __forceinline__ async::Barrier& filled(unsigned slot) const {
    return reinterpret_cast<async::Barrier*>(base + kBarriers)[slot];
  }
  /// Every warp has read x of a block, its scales, and W of the block before.
  __device__ __forceinline__ async::Barrier& emptied(unsigned slot) const { return (&filled(kStages))[slot]; }
};

/// Where a block of K lies, counted through all of the block's tiles.
struct Ring {
  unsigned slot = 0;
  unsigned parity = 0;  // of the round
  unsigned w_slot = 0;

  __device__ __forceinline__ void advance() {
    slot ^= 1;
    parity ^= slot ^ 1;
    w_slot = w_slot == kStages ? 0 : w_slot + 1;
  }
  /// Of the block kStages further on, which has the same slot of x.
  __device__ __forceinline__ unsigned w_slot_ahead() const { return w_slot == 0 ? kStages : w_slot - 1; }
  static_assert(kStages == 2);
};

/// The tiles of a product in the order of TilePlace, dealt to the blocks in turn.
struct Places {
  int row_tiles, column_tiles, blocks_of_k;

  __device__ __forceinline__ Places(const Int8Rows& x, const Int8Weight& weight)
      : row_tiles(static_cast<int>(ceil_div(x.rows, kGemmRows))),
        column_tiles(static_cast<int>(weight.out / kGemmColumns)),
        blocks_of_k(static_cast<int>(weight.in / kGemmDepth)) {}

  __device__ __forceinline__ TilePlace at(int index) const {
    if (index >= row_tiles * column_tiles) return {-1, -1};
    constexpr int kGroup = kGemmGroupRows / kGemmRows;
    const int first = index / (kGroup * column_tiles) * kGroup;
    const int within = index - first * column_tiles;
    const int height = row_tiles - first < kGroup ? row_tiles - first : kGroup;
    return {(first + within % height) * kGemmRows, within / height * kGemmColumns};
  }
};

struct Maps {
  CUtensorMap x, w, scales;
};

/// A tile, and the one that the block takes after it; rows of -1: none.
struct Work {
  TilePlace tile, next;
};

/// One thread's work beside its part of the products: the copies for all. The blocks of a tile are kStages at
/// least, so that what is copied ahead is of this tile or of the next.
struct Copier {
  const Shared& shared;
  const Maps& maps;
  const float* w_scales;
  int blocks_of_k;

  /// Starts the copies of a tile's block k to the places that are free.
  __device__ __forceinline__ void copy(const TilePlace& tile, int k, unsigned slot, unsigned w_slot) const {
    async::Barrier& filled = shared.filled(slot);
    async::arrive_expecting(filled, kXBytes + kWBytes + kScaleBytes);
    async::copy_box(shared.x(slot), maps.x, k * kGemmDepth, tile.row, filled);
    async::copy_box(shared.w(w_slot), maps.w, k * kGemmDepth, tile.column, filled);
    async::copy_box(shared.scales(slot), maps.scales, tile.row, k, filled);
    copy_async_word(&shared.w_scale(slot), w_scales + tile.column / kScaleGroup * blocks_of_k + k, 4);
    async::arrive_when_copied(filled);
  }
  /// Of what is kStages blocks after a tile's block k, once all warps have read what `ring`'s places had.
  __device__ __forceinline__ void copy_ahead(const Work& work, int k, const Ring& ring) const {
    const int ahead = k + static_cast<int>(kStages);
    const bool inside = ahead < blocks_of_k;
    const TilePlace tile{inside ? work.tile.row : work.next.row,
                         inside ? work.tile.column : work.next.column};
    if (tile.row < 0) return;
    async::wait(shared.emptied(ring.slot), ring.parity);
    copy(tile, inside ? ahead : ahead - blocks_of_k, ring.slot, ring.w_slot_ahead());
  }
};

/// A warp's products, through all of the block's tiles.
struct Consumer {
  static constexpr int kGroups = GemmWarp::kGroups;
  /// The group of columns in which thread 0 copies: by then every warp is past its first, or nearly.
  static constexpr int kCopyGroup = kGroups / 2;

  const Shared& shared;
  const Copier& copier;
  GemmWarp warp;
  Ring ring;  // of the block of K at hand
  unsigned thread;

  __device__ __forceinline__ Consumer(const Copier& of, unsigned own, const TilePlace& tile)
      : shared(of.shared), copier(of), warp(own), thread(own) {
    if (thread == 0) {
      for (unsigned i = 0; i < kStages; ++i) copier.copy(tile, static_cast<int>(i), i, i);
    }
    __syncwarp();
    async::wait(shared.filled(0), 0);
#pragma unroll
    for (int step = 0; step < GemmWarp::kSteps; ++step) warp.load_x(shared.x(0), step);
    warp.load_w(shared.w(0), 0, 0);
    warp.load_w(shared.w(0), 0, 1);
  }

  /// The sums of a tile. Of what is loaded after the last block of the last tile nothing is made.
  __device__ __forceinline__ void multiply(const Work& work) {
    clear();
    const int blocks_of_k = copier.blocks_of_k;
#pragma unroll 1
    for (int k = 0; k < blocks_of_k; ++k) {
      const Ring here = ring;
      ring.advance();
      const bool more = k + 1 < blocks_of_k || work.next.row >= 0;
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const bool last = group == kGroups - 1;
        float scale[GemmWarp::kRowTiles][2] = {};
        float w_scale = 0;
        bool come = false;
#pragma unroll
        for (int step = 0; step < GemmWarp::kSteps; ++step) {
          // Branches stand behind products: ptxas waits for all loads before one.
          if (last && step == 0) come = async::ended(shared.filled(ring.slot), ring.parity);
          if (group == 0 && step == GemmWarp::kSteps - 1) w_scale = fetch_scales(scale, here.slot);
          warp.multiply(group, step);
          if (group == kCopyGroup && step == 0) {
            if (thread == 0) copier.copy_ahead(work, k, here);
            __syncwarp();
          }
          if (last && step == 0 && more && !come) async::wait(shared.filled(ring.slot), ring.parity);
          if (last) warp.load_x(shared.x(ring.slot), step);
          if (step % 2 == 1) {
            warp.load_w(shared.w(last ? ring.w_slot : here.w_slot), last ? 0 : group + 1, step / 2);
          }
          warp.promote((group + kGroups - 1) % kGroups, step);
        }
        if (group == 0) {
          // Until here the scales of the block before were needed.
#pragma unroll
          for (int i = 0; i < GemmWarp::kRowTiles; ++i) {
            warp.scale[i][0] = scale[i][0] * w_scale;
            warp.scale[i][1] = scale[i][1] * w_scale;
          }
          __syncwarp();
          if (thread % kWarp == 0) async::arrive(shared.emptied(here.slot));
        }
      }
    }
  }
  __device__ __forceinline__ void promote_last() {
#pragma unroll
    for (int quarter = 0; quarter < 4; ++quarter) warp.promote(kGroups - 1, quarter);
  }

 private:
  /// The last tile's partial sums are promoted once more, by scales of 0.
  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < GemmWarp::kRowTiles; ++i) {
      warp.scale[i][0] = warp.scale[i][1] = 0;
#pragma unroll
      for (int j = 0; j < kWarpColumns / 8; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) warp.sums[i][j][e] = 0;
      }
    }
  }
  /// Scales of the warp's rows; returns W's.
  __device__ __forceinline__ float fetch_scales(float (&scale)[GemmWarp::kRowTiles][2], unsigned slot) const {
    const float* scales = shared.scales(slot) + warp_row(thread) + thread % kWarp / 4;
#pragma unroll
    for (int i = 0; i < GemmWarp::kRowTiles; ++i) {
      scale[i][0] = scales[16 * i];
      scale[i][1] = scales[16 * i + 8];
    }
    return shared.w_scale(slot);
  }
};

template <class Epilogue>
__global__ void __launch_bounds__(kGemmThreads, 1)
    gemm_tensor_copies_kernel(const __grid_constant__ Maps maps, Int8Rows x, Int8Weight weight,
                              Epilogue epilogue) {
  const Shared shared{async::swizzled_shared_memory()};
  if (threadIdx.x == 0) {
    for (unsigned i = 0; i < kStages; ++i) {
      async::initialize(shared.filled(i), 2);  // of x, W and x's scales, and of W's scale
      async::initialize(shared.emptied(i), kGemmThreads / kWarp);
    }
    async::publish_barriers();
  }
  __syncthreads();
  const Places places(x, weight);
  const Copier copier{shared, maps, weight.scales, places.blocks_of_k};
  int index = static_cast<int>(blockIdx.x);
  Work work{{}, places.at(index)};
  Consumer consumer(copier, threadIdx.x, work.next);
#pragma unroll 1
  while (work.next.row >= 0) {
    index += static_cast<int>(gridDim.x);
    work = {work.next, places.at(index)};
    consumer.multiply(work);
    consumer.promote_last();
    TileEnd<Epilogue>(epilogue, work.tile, x.rows, weight.out, threadIdx.x)
        .finish(consumer.warp.sums, weight.bias, shared.parts());
  }
}

}  // namespace

template <class Epilogue>
void multiply_tensor_copies(Queue& queue, const char* name, const Int8Rows& x, const Int8Weight& weight,
                            const Epilogue& epilogue) {
  Maps maps{};
  if (!describe(maps.x, x.values, x.rows, x.width, kGemmRows) ||
      !describe(maps.w, weight.values, weight.out, weight.in, kGemmColumns) ||
      !describe_scales(maps.scales, x.scales, x.rows, x.width / kScaleGroup, kGemmRows)) {
    return queue.check(name, cudaErrorNotSupported);
  }
  const std::int64_t tiles = ceil_div(x.rows, kGemmRows) * (weight.out / kGemmColumns);
  const std::int64_t blocks = std::min<std::int64_t>(tiles, queue.device().multiprocessors);
  queue.launch(name, gemm_tensor_copies_kernel<Epilogue>,
               {dim3(static_cast<unsigned>(blocks)), kGemmThreads, kSharedBytes}, maps, x, weight, epilogue);
}

template void multiply_tensor_copies(Queue&, const char*, const Int8Rows&, const Int8Weight&,
                                     const StoreBf16&);
template void multiply_tensor_copies(Queue&, const char*, const Int8Rows&, const Int8Weight&,
                                     const StoreBf16WithSquares&);
template void multiply_tensor_copies(Queue&, const char*, const Int8Rows&, const Int8Weight&,
                                     const StoreGeluInt8&);
template void multiply_tensor_copies(Queue&, const char*, const Int8Rows&, const Int8Weight&,
                                     const AddToResidual&);

}  // namespace turboclip::cuda
