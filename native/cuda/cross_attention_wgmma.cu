// Cross-attention on Hopper for prompts whose keys and values a multiprocessor holds: they are read once a
// head, and three warpgroups go through the head's queries, 64 rows at a time, each at its own pace, so that
// while one waits for its products another's exponentials and quantisation are under way.
#include "cuda/attention_tile.cuh"
#include "cuda/cross_attention_wgmma.h"
#include "cuda/hopper.cuh"
#include "cuda/tensor_map.h"

namespace turboclip::cuda {
namespace {

constexpr int kGroups = 3;
constexpr int kThreads = kGroups * hopper::kWarpgroup;
constexpr int kRows = 64;
constexpr int kKeys = static_cast<int>(kWgmmaTextRows);
constexpr int kStages = 2;          // of q, a warpgroup
constexpr int kChannelBytes = 128;  // of a row that lie together: half of its channels
constexpr int kHalfKeyBytes = kKeys * kChannelBytes;
constexpr int kHalfQueryBytes = kRows * kChannelBytes;
constexpr int kValues = 2 * kHalfKeyBytes;
constexpr int kQueries = kValues + 2 * kHalfKeyBytes;
constexpr int kSlabs = kQueries + kGroups * kStages * 2 * kHalfQueryBytes;
constexpr int kBarriers = kSlabs + kGroups * kRows * kHeadWidth;
constexpr int kAlignment = 1024;  // of rows that are swizzled
constexpr int kSharedBytes =
    kAlignment + kBarriers + (1 + kGroups * kStages) * static_cast<int>(sizeof(hopper::Barrier));
static_assert(kSharedBytes <= 227 << 10);
constexpr float kLog2E = 1.4426950408889634f;
// Weights of a row that has no reference yet: within these float32 and bfloat16 hold them well.
constexpr float kLeastTotal = 0x1p-40f;

using SoftmaxRows = OutputRows<0>;
using Scores = float[kKeys / 8][4];

/// Scores of keys from `count` on become those of no key, and the last gets `bias`, in the exponent.
__device__ __forceinline__ void mask(Scores& scores, int count, float bias, const float (&scale)[2],
                                     int lane) {
#pragma unroll
  for (int j = 0; j < kKeys / 8; j += 2) {
    if (8 * j + 16 < count) continue;
#pragma unroll
    for (int i = j; i < j + 2; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int key = 8 * i + lane % 4 * 2 + e % 2;
        if (key + 1 == count) scores[i][e] += bias * kLog2E * reciprocal(scale[e / 2]);
        if (key >= count) scores[i][e] = kMinusInfinity;
      }
    }
  }
}

/// Begins the scores of a tile of queries.
__device__ __forceinline__ void begin_scores(Scores& scores, const unsigned char* queries,
                                             const unsigned char* keys) {
#pragma unroll
  for (int step = 0; step < kHeadWidth / 16; ++step) {
    const std::uint64_t q = hopper::describe_rows(queries + step / 4 * kHalfQueryBytes);
    const std::uint64_t k = hopper::describe_rows(keys + step / 4 * kHalfKeyBytes);
    hopper::multiply_64x128(scores, hopper::further(q, step % 4 * 32), hopper::further(k, step % 4 * 32),
                            step > 0);
  }
}

/// Why it ends, and reads nothing too early: every copy is begun once by one thread, and every thread of
/// those that use it waits for its barrier before the next copy into the same place begins, which is behind a
/// barrier of theirs.
__global__ void __launch_bounds__(kThreads, 1)
    cross_attention_wgmma_kernel(const __grid_constant__ CUtensorMap q_map,
                                 const __grid_constant__ CUtensorMap k_map, CrossQueries queries,
                                 TextKeys text, int tiles, std::int8_t* y, float* y_scales) {
  unsigned char* begin = shared_memory();
  unsigned char* shared = begin + (kAlignment - shared_address(begin) % kAlignment) % kAlignment;
  auto* barriers = reinterpret_cast<hopper::Barrier*>(shared + kBarriers);
  const auto thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int group = thread / hopper::kWarpgroup;
  const int in_group = thread % hopper::kWarpgroup;
  const auto tokens = static_cast<int>(queries.tokens);
  const auto count = static_cast<int>(text.rows);
  const auto heads = static_cast<int>(queries.heads);
  const std::int64_t channels = queries.heads * kHeadWidth;
  hopper::Barrier* filled = barriers + 1 + group * kStages;
  unsigned char* stages = shared + kQueries + group * kStages * 2 * kHalfQueryBytes;
  unsigned char* slab = shared + kSlabs + thread / kWarp * 16 * kHeadWidth;
  const auto copy_queries = [&](int head, int tile, int stage) {
    hopper::arrive_expecting(filled[stage], 2 * kHalfQueryBytes);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      hopper::copy_box(stages + (stage * 2 + half) * kHalfQueryBytes, q_map,
                       head * kHeadWidth * 2 + half * kChannelBytes, tile * kRows, filled[stage]);
    }
  };
  const auto meet = [&] { hopper::meet(1 + group, hopper::kWarpgroup); };
  if (thread == 0) {
    for (int i = 0; i < 1 + kGroups * kStages; ++i) hopper::initialize(barriers[i], 1);
    hopper::publish_barriers();
  }
  __syncthreads();
  // The block's share of all heads' tiles, one head after the other.
  const auto all = static_cast<unsigned>(heads * tiles);  // times blocks, far below 2^32
  const auto share = [&](unsigned index) { return static_cast<int>(all * index / gridDim.x); };
  const int end = share(blockIdx.x + 1);
  unsigned round = 0;  // of the keys' barrier
  unsigned used = 0;   // q tiles that this warpgroup has used
  for (int at = share(blockIdx.x); at < end;) {
    const int head = at / tiles;
    const int first = at - head * tiles;
    const int last = min(tiles, first + end - at);
    at += last - first;
    __syncthreads();  // all have left the last head's keys and values
    if (thread == 0) {
      hopper::arrive_expecting(barriers[0], 4 * kHalfKeyBytes);
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        const int column = (part / 2 * static_cast<int>(channels) + head * kHeadWidth) * 2;
        hopper::copy_box(shared + part * kHalfKeyBytes, k_map, column + part % 2 * kChannelBytes, 0,
                         barriers[0]);
      }
    }
    if (in_group == 0) {
#pragma unroll
      for (int i = 0; i < kStages; ++i) {
        const int tile = first + group + i * kGroups;
        if (tile < last) copy_queries(head, tile, static_cast<int>((used + i) % kStages));
      }
    }
    __syncwarp();
    hopper::wait(barriers[0], round & 1);
    ++round;
    for (int tile = first + group; tile < last; tile += kGroups, ++used) {
      const auto stage = static_cast<int>(used % kStages);
      const int row = tile * kRows + in_group / kWarp * 16;
      float scale[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int r = row + 8 * half + lane / 4;
        scale[half] = r < tokens ? queries.inverse[r] * kScoreScale : 1.0f;
      }
      hopper::wait(filled[stage], used / kStages & 1);
      __syncwarp();
      Scores scores;
      hopper::begin_products();
      begin_scores(scores, stages + stage * 2 * kHalfQueryBytes, shared);
      hopper::commit_products();
      hopper::wait_products<0>();
      hopper::settle(scores);
      meet();
      if (in_group == 0 && tile + kStages * kGroups < last) {
        copy_queries(head, tile + kStages * kGroups, stage);
      }
      __syncwarp();
      mask(scores, count, text.last_bias, scale, lane);
      SoftmaxRows rows[1];
      rows[0].reference[0] = rows[0].reference[1] = 0;
      Scores weights;
      float part[2];
      rows[0].weigh(weights, part, scores, scale);
      const bool fits = SoftmaxRows::fit(part) && part[0] >= kLeastTotal && part[1] >= kLeastTotal;
      std::uint32_t packed[kKeys / 16][4];
#pragma unroll
      for (int step = 0; step < kKeys / 16; ++step) {
        pack_weights(packed[step], weights[2 * step], weights[2 * step + 1]);
      }
      if (__any_sync(kAllLanes, !fits)) {
        float by[2];
        rows[0].reference[0] = rows[0].reference[1] = kMinusInfinity;
        rows[0].raise(by, scores, scale);
        rows[0].weigh(scores, part, scores, scale);
#pragma unroll
        for (int step = 0; step < kKeys / 16; ++step) {
          pack_weights(packed[step], scores[2 * step], scores[2 * step + 1]);
        }
      }
      rows[0].add(part);
      const std::uint64_t v = hopper::describe_columns(shared + kValues, kHalfKeyBytes);
      hopper::begin_products();
#pragma unroll
      for (int step = 0; step < kKeys / 16; ++step) {
        hopper::multiply_add_64x128(rows[0].sums, packed[step], hopper::further(v, 16 * kChannelBytes * step),
                                    step > 0);
      }
      hopper::commit_products();
      hopper::wait_products<0>();
      hopper::settle(rows[0].sums);
      rows[0].normalize();
      __syncwarp();  // the slab's last rows have been stored
      store_rows(rows[0], slab, row, queries.tokens, head, channels, y, y_scales, lane);
    }
  }
}

}  // namespace

void cross_attention_wgmma(Queue& queue, const CrossQueries& q, const TextKeys& keys, std::int8_t* y,
                           float* y_scales) {
  CUtensorMap q_map{};
  CUtensorMap k_map{};
  const std::int64_t row_bytes = q.heads * kHeadRowBytes;
  if (!describe(q_map, reinterpret_cast<const std::int8_t*>(q.values), q.tokens, row_bytes, kRows) ||
      !describe(k_map, reinterpret_cast<const std::int8_t*>(keys.values), keys.rows, 2 * row_bytes, kKeys)) {
    return queue.check("cross_attention", cudaErrorNotSupported);
  }
  queue.launch("cross_attention", cross_attention_wgmma_kernel,
               {dim3(static_cast<unsigned>(queue.device().multiprocessors)), kThreads, kSharedBytes}, q_map,
               k_map, q, keys, static_cast<int>(ceil_div(q.tokens, kRows)), y, y_scales);
}

}  // namespace turboclip::cuda
