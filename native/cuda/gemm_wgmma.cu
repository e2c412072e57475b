// The W8A8 product on Hopper: a block stays on its multiprocessor and takes tile after tile. One thread keeps
// three stages of 128 of K filled by tensor copies, through the epilogues too. Two warpgroups multiply 128
// rows each, 64 at a time, in turns: while the products of one run, the other promotes its int32 sums. Two
// blocks with neighbouring columns make a cluster, and each copies half of the rows for both. Results leave
// through shared memory by tensor copies, which the next tile does not wait for.
#include <algorithm>

#include "cuda/gemm_wgmma.h"
#include "cuda/hopper_stores.cuh"
#include "cuda/tensor_map.h"

namespace turboclip::cuda {
namespace {

constexpr unsigned kCluster = 2;  // blocks, of neighbouring columns and the same rows
constexpr int kGroups = 2;        // of warps, that multiply
constexpr int kHalves = 2;        // of a group's rows
constexpr int kGroupRows = 64 * kHalves;
constexpr int kRows = kGroups * kGroupRows;
constexpr int kClusterRows = kRows / static_cast<int>(kCluster);  // that each block of a cluster copies
constexpr int kColumns = kScaleGroup;
constexpr int kDepth = kScaleGroup;
constexpr int kProductThreads = kGroups * hopper::kWarpgroup;
constexpr int kThreads = hopper::kWarpgroup + kProductThreads;
constexpr int kStages = 3;
constexpr int kAlignment = 1024;  // of rows that are swizzled
constexpr int kTileBytes = (kRows + kColumns) * kDepth;
constexpr int kScaleBytes = kRows * static_cast<int>(sizeof(float));
constexpr int kStageBytes = kTileBytes + static_cast<int>(ceil_div(kScaleBytes, kAlignment)) * kAlignment;
/// A group's results: 128 bytes of each row, and of bfloat16 the row's other half behind those of all rows.
constexpr int kHalfOutBytes = kGroupRows * 128;
constexpr int kOutBytes = 2 * kHalfOutBytes;
constexpr int kOut = kStages * kStageBytes;
/// A tile's bias and gate. The copies are up to kStages blocks of K, so as many tiles, ahead of the products.
constexpr int kVectorBytes = kColumns * static_cast<int>(sizeof(float));
constexpr int kVectors = kOut + kGroups * kOutBytes;
constexpr int kVectorSlots = kStages + 1;
constexpr int kBarriers = kVectors + kVectorSlots * 2 * kVectorBytes;
constexpr int kSharedBytes =
    kAlignment + kBarriers + (2 * kStages + kGroups) * static_cast<int>(sizeof(hopper::Barrier));
static_assert(kSharedBytes <= (227 << 10));
/// Tiles of rows that are taken together, so that their x and a few columns of W stay in L2.
constexpr int kGroupTiles = 8;
// Of 65,536 registers; a launch's share must be met by every warpgroup, so it starts with a third each.
constexpr int kCopierRegisters = 40;
constexpr int kProductRegisters = 232;

/// Numbered barriers of a group: its turn to multiply, and its meetings.
constexpr int turn_of(int group) { return 1 + group; }
constexpr int meeting_of(int group) { return 1 + kGroups + group; }
/// One group meets at its turn, the one before it announces it.
constexpr int kTurnThreads = 2 * hopper::kWarpgroup;

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
  __device__ __forceinline__ unsigned char* out(int group) const { return base + kOut + group * kOutBytes; }
  /// Bias, then gate.
  __device__ __forceinline__ float* vectors(int slot) const {
    return reinterpret_cast<float*>(base + kVectors + slot * 2 * kVectorBytes);
  }
  __device__ __forceinline__ hopper::Barrier& filled(int i) const {
    return reinterpret_cast<hopper::Barrier*>(base + kBarriers)[i];
  }
  __device__ __forceinline__ hopper::Barrier& emptied(int i) const { return (&filled(kStages))[i]; }
  /// What a group's results are added to has come.
  __device__ __forceinline__ hopper::Barrier& added_to(int group) const {
    return (&filled(2 * kStages))[group];
  }
};

/// Tiles of a product, in the order in which clusters take them: groups of kGroupTiles tiles of rows, down
/// the rows first, then to the next columns. Of an odd number of columns the last cluster's second block has
/// a tile that is not there: it copies its share of the rows, multiplies zeros and stores nothing.
struct Tiles {
  int row_tiles, column_tiles;
  int blocks_of_k;
  int rank;

  __device__ __forceinline__ Tiles(const Int8Rows& x, const Int8Weight& weight)
      : row_tiles(static_cast<int>(ceil_div(x.rows, kRows))),
        column_tiles(static_cast<int>(weight.out / kColumns)),
        blocks_of_k(static_cast<int>(weight.in / kDepth)),
        rank(static_cast<int>(hopper::cluster_rank())) {}

  /// body(tile, slot of its vectors)
  template <class Body>
  __device__ __forceinline__ void for_each(const Body& body) const {
    constexpr int kWidth = static_cast<int>(kCluster);
    const int across = static_cast<int>(ceil_div(column_tiles, kWidth));
    int slot = 0;
    for (int index = static_cast<int>(blockIdx.x) / kWidth; index < row_tiles * across;
         index += static_cast<int>(gridDim.x) / kWidth) {
      const int per_group = kGroupTiles * across;
      const int first = index / per_group * kGroupTiles;
      const int height = row_tiles - first < kGroupTiles ? row_tiles - first : kGroupTiles;
      const int column = index % per_group / height * kWidth + rank;
      body(Tile{(first + index % per_group % height) * kRows, column * kColumns}, slot);
      slot = slot + 1 == kVectorSlots ? 0 : slot + 1;
    }
  }
  __device__ __forceinline__ bool there(const Tile& tile) const {
    return tile.column < column_tiles * kColumns;
  }
  /// For what is indexed by columns without a check.
  __device__ __forceinline__ int column_there(const Tile& tile) const {
    return there(tile) ? tile.column : 0;
  }
};

struct Maps {
  CUtensorMap x, w, scales, out;
};

/// One thread's work: copies of all tiles of the block. gate: of column 0, or nullptr.
__device__ __forceinline__ void copy_tiles(const Shared& shared, const Maps& maps, const float* bias,
                                           const float* gate, const Tiles& tiles) {
  Ring ring;
  tiles.for_each([&](const Tile& tile, int slot) {
    for (int k = 0; k < tiles.blocks_of_k; ++k) {
      hopper::wait(shared.emptied(ring.stage), ring.parity ^ 1);
      hopper::Barrier& filled = shared.filled(ring.stage);
      unsigned char* to = shared.stage(ring.stage);
      const int vectors = k > 0 ? 0 : gate == nullptr ? kVectorBytes : 2 * kVectorBytes;
      hopper::arrive_expecting(filled, kTileBytes + kScaleBytes + vectors);
      const int part = tiles.rank * kClusterRows;
      hopper::copy_box_to((1u << kCluster) - 1, to + part * kDepth, maps.x, k * kDepth, tile.row + part,
                          filled);
      hopper::copy_box(to + kRows * kDepth, maps.w, k * kDepth, tile.column, filled);
      hopper::copy_box(to + kTileBytes, maps.scales, tile.row, k, filled);
      if (k == 0) {
        float* of_tile = shared.vectors(slot);
        hopper::copy_bytes(of_tile, bias + tiles.column_there(tile), kVectorBytes, filled);
        if (gate != nullptr) {
          hopper::copy_bytes(of_tile + kColumns, gate + tiles.column_there(tile), kVectorBytes, filled);
        }
      }
      ring.advance();
    }
  });
}

/// One warpgroup's part of a tile.
struct Group {
  const Shared& shared;
  int group, thread;
  Ring ring;
  unsigned added_parity = 0;

  __device__ __forceinline__ int warp() const { return thread / kWarp; }
  __device__ __forceinline__ int lane() const { return thread % kWarp; }
  __device__ __forceinline__ int first_row() const { return group * kGroupRows; }

  /// sums: [half][columns / 8][fragment]. `between(k)` runs after each block of K.
  ///
  /// racecheck knows of no order between copies and reads that only these barriers order, and reports them.
  /// Read after write: each thread waits itself for `filled`, whose phase lasts until the copies' bytes are
  /// there. Write after read: x and W are read by products alone, which wait_products has seen to their end,
  /// and a row's scales into registers before that; both before the warp's arrival at `emptied` of every
  /// block that copies here, by __syncwarp for all lanes. The copiers write only after all warps of the
  /// cluster have arrived.
  template <class Between>
  __device__ __forceinline__ void multiply(float (&sums)[kHalves][16][4], const float* w_scales,
                                           int blocks_of_k, const Between& between) {
    float next_w_scale = w_scales[0];
    hopper::wait(shared.filled(ring.stage), ring.parity);
#pragma unroll 1
    for (int k = 0; k < blocks_of_k; ++k) {
      const unsigned char* stage = shared.stage(ring.stage);
      hopper::Barrier& emptied = shared.emptied(ring.stage);
      const std::uint64_t w = hopper::describe_rows(stage + kRows * kDepth);
      const auto* scales =
          reinterpret_cast<const float*>(stage + kTileBytes) + first_row() + warp() * 16 + lane() / 4;
      const float w_scale = next_w_scale;
      float scale[kHalves][2];
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        const std::uint64_t x = hopper::describe_rows(stage + (first_row() + 64 * half) * kDepth);
        std::int32_t partial[16][4];
        hopper::meet(turn_of(group), kTurnThreads);
        hopper::begin_products();
#pragma unroll
        for (int step = 0; step < kDepth / 32; ++step) {
          hopper::multiply_64x128(partial, x + 2 * step, w + 2 * step, step > 0);
        }
        hopper::commit_products();
        hopper::announce(turn_of((group + 1) % kGroups), kTurnThreads);
        // While they run: what the promotions need, and the next block's arrival.
        if (half == 0) {
#pragma unroll
          for (int h = 0; h < kHalves; ++h) {
            scale[h][0] = scales[64 * h] * w_scale;
            scale[h][1] = scales[64 * h + 8] * w_scale;
          }
          next_w_scale = w_scales[k + 1 < blocks_of_k ? k + 1 : k];
        }
        if (half == kHalves - 1) {
          ring.advance();
          if (k + 1 < blocks_of_k) hopper::wait(shared.filled(ring.stage), ring.parity);
        }
        hopper::wait_products<0>();
        hopper::settle(partial);
        if (half == kHalves - 1) {
          __syncwarp();
          if (lane() < static_cast<int>(kCluster)) hopper::arrive_at(static_cast<unsigned>(lane()), emptied);
        }
#pragma unroll
        for (int j = 0; j < 16; ++j) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            sums[half][j][e] = fmaf(static_cast<float>(partial[j][e]), scale[half][e / 2], sums[half][j][e]);
          }
        }
      }
      between(k);
    }
  }

  /// Starts the copy of what the results are added to, in the place of the last tile's, once that has left.
  __device__ __forceinline__ void fetch_added_to(const CUtensorMap& map, const Tile& tile) const {
    if (thread != 0) return;
    hopper::wait_stores_read();
    hopper::Barrier& come = shared.added_to(group);
    unsigned char* to = shared.out(group);
    hopper::arrive_expecting(come, kOutBytes);
    hopper::copy_box(to, map, tile.column, tile.row + first_row(), come);
    hopper::copy_box(to + kHalfOutBytes, map, tile.column + kColumns / 2, tile.row + first_row(), come);
  }

  /// The epilogue. vectors: the tile's bias and gate; rows: of the product; there: or nothing is stored.
  template <class Epilogue>
  __device__ __forceinline__ void finish(float (&sums)[kHalves][16][4], const Epilogue& epilogue,
                                         const float* vectors, const CUtensorMap& map, const Tile& tile,
                                         bool there, int rows) {
    constexpr bool kInt8 = sizeof(typename Epilogue::Output) == 1;
    unsigned char* out = shared.out(group);
    if constexpr (Epilogue::kAdds) {
      hopper::wait(shared.added_to(group), added_parity);
      added_parity ^= 1;
    } else {
      if (thread == 0) hopper::wait_stores_read();
      hopper::meet(meeting_of(group), hopper::kWarpgroup);
    }
    add_bias(sums, epilogue, vectors + lane() % 4 * 2);
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      float factor[2] = {0, 0};
      if constexpr (Epilogue::kStatistic != RowStatistic::none) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const float statistic = row_statistic<Epilogue::kStatistic>(sums[half], h);
          factor[h] = epilogue.factor(statistic);
          const int r = tile.row + first_row() + row_of(half) + lane() / 4 + 8 * h;
          if (lane() % 4 == 0 && r < rows && there) epilogue.row_done(r, tile.column, statistic);
        }
      }
      if constexpr (kInt8) {
        put_bytes(out + row_of(half) * 128, sums[half], epilogue, factor);
      } else {
        put_bf16<Epilogue::kAdds>(out + row_of(half) * 128, sums[half]);
      }
    }
    hopper::show_to_copies();
    hopper::meet(meeting_of(group), hopper::kWarpgroup);
    if (thread != 0 || !there) return;
    hopper::store_box(map, tile.column, tile.row + first_row(), out);
    if constexpr (!kInt8) {
      hopper::store_box(map, tile.column + kColumns / 2, tile.row + first_row(), out + kHalfOutBytes);
    }
    hopper::commit_stores();
  }

 private:
  /// The warp's first row in the group's.
  __device__ __forceinline__ int row_of(int half) const { return 64 * half + 16 * warp(); }

  /// vectors: bias and gate of the lane's first two columns.
  template <class Epilogue>
  static __device__ __forceinline__ void add_bias(float (&sums)[kHalves][16][4], const Epilogue& epilogue,
                                                  const float* vectors) {
    const bool gated = epilogue.gate_of_columns() != nullptr;
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      const float2 bias = *reinterpret_cast<const float2*>(vectors + 8 * j);
      float2 gate = make_float2(1, 1);
      if (gated) gate = *reinterpret_cast<const float2*>(vectors + kColumns + 8 * j);
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float& sum = sums[half][j][e];
          sum = epilogue.value(sum + (e % 2 == 0 ? bias.x : bias.y), e % 2 == 0 ? gate.x : gate.y);
        }
      }
    }
  }

  /// Sixteen rows to rows of 128 bytes, swizzled as the map of the results has them.
  template <class Epilogue>
  __device__ __forceinline__ void put_bytes(unsigned char* out, const float (&sums)[16][4],
                                            const Epilogue& epilogue, const float (&factor)[2]) const {
    const int quad = lane() / 4;
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      unsigned char* at = out + quad * 128 + ((j / 2 ^ quad) << 4) + j % 2 * 8 + lane() % 4 * 2;
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        *reinterpret_cast<typename Epilogue::Pair*>(at + 8 * h * 128) =
            epilogue.pair(sums[j][2 * h], sums[j][2 * h + 1], factor[h]);
      }
    }
  }
  /// The same of bfloat16, added to what is there or not.
  template <bool Adds>
  __device__ __forceinline__ void put_bf16(unsigned char* out, const float (&sums)[16][4]) const {
    unsigned char* row = out + lane() % 16 * 128;
    const int swizzle = (lane() / 16 ^ lane() % 8) << 4;
#pragma unroll
    for (int j = 0; j < 16; j += 2) {
      unsigned char* at = row + j / 8 * kHalfOutBytes + (swizzle ^ j % 8 << 4);
      std::uint32_t before[4];
      if constexpr (Adds) load_tiles(before, at);
      std::uint32_t packed[4];
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        float a = sums[j + m / 2][m % 2 * 2];
        float b = sums[j + m / 2][m % 2 * 2 + 1];
        if constexpr (Adds) {
          a += low_half(before[m]);
          b += high_half(before[m]);
        }
        packed[m] = pack_bf16(a, b);
      }
      hopper::store_tiles(at, packed);
    }
  }
};

template <class Epilogue>
__global__ void __cluster_dims__(kCluster, 1, 1) __launch_bounds__(kThreads, 1)
    gemm_wgmma_kernel(const __grid_constant__ Maps maps, Int8Rows x, Int8Weight weight, Epilogue epilogue) {
  unsigned char* begin = shared_memory();
  const Shared shared{begin + (kAlignment - shared_address(begin) % kAlignment) % kAlignment};
  // From one lane, so that the compiler knows it to be the same in all.
  const int warpgroup = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / hopper::kWarpgroup, 0);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      hopper::initialize(shared.filled(i), 1);
      hopper::initialize(shared.emptied(i), kCluster * (kProductThreads / kWarp));
    }
    for (int i = 0; i < kGroups; ++i) hopper::initialize(shared.added_to(i), 1);
    hopper::publish_barriers();
  }
  hopper::meet_cluster();
  const Tiles tiles(x, weight);
  if (warpgroup == 0) {
    hopper::give_registers<kCopierRegisters>();
    if (threadIdx.x == 0) copy_tiles(shared, maps, weight.bias, epilogue.gate_of_columns(), tiles);
  } else {
    hopper::take_registers<kProductRegisters>();
    Group group{shared, warpgroup - 1, static_cast<int>(threadIdx.x) % hopper::kWarpgroup, {}};
    if (group.group == kGroups - 1) hopper::announce(turn_of(0), kTurnThreads);
    tiles.for_each([&](const Tile& tile, int slot) {
      float sums[kHalves][16][4] = {};
      // Late enough for the last tile to have left, early enough to have come by the end.
      const int fetched = std::min(3, tiles.blocks_of_k - 1);
      group.multiply(sums, weight.scales + tiles.column_there(tile) / kScaleGroup * tiles.blocks_of_k,
                     tiles.blocks_of_k, [&](int k) {
                       if constexpr (Epilogue::kAdds) {
                         if (k == fetched) group.fetch_added_to(maps.out, tile);
                       }
                     });
      group.finish(sums, epilogue, shared.vectors(slot), maps.out, tile, tiles.there(tile),
                   static_cast<int>(x.rows));
    });
    // The last announcement; a barrier is left as it was found.
    if (group.group == 0) hopper::meet(turn_of(0), kTurnThreads);
    if (group.thread == 0) hopper::wait_stores();
  }
  // No block leaves while another of its cluster may still copy to it or arrive at its barriers.
  __syncwarp();
  hopper::meet_cluster();
}

}  // namespace

template <class Epilogue>
void multiply_wgmma(Queue& queue, const char* name, const Int8Rows& x, const Int8Weight& weight,
                    const Epilogue& epilogue) {
  Maps maps{};
  if (!describe(maps.x, x.values, x.rows, x.width, kClusterRows) ||
      !describe(maps.w, weight.values, weight.out, weight.in, kColumns) ||
      !describe_scales(maps.scales, x.scales, x.rows, x.width / kScaleGroup, kRows) ||
      !describe(maps.out, epilogue.output(), x.rows, weight.out, kGroupRows)) {
    return queue.check(name, cudaErrorNotSupported);
  }
  const std::int64_t tiles = ceil_div(x.rows, kRows) * ceil_div(weight.out / kColumns, kCluster);
  const std::int64_t places = queue.device().multiprocessors / kCluster;
  queue.launch(name, gemm_wgmma_kernel<Epilogue>,
               {dim3(static_cast<unsigned>(std::min(tiles, places)) * kCluster), kThreads, kSharedBytes},
               maps, x, weight, epilogue);
}

template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const StoreBf16&);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&,
                             const StoreBf16WithSquares&);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const StoreGeluInt8&);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const AddToResidual&);

}  // namespace turboclip::cuda
