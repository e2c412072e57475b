// Softmax attention over the kept key blocks on Hopper: as the portable kernel, by asynchronous products. A
// warpgroup holds 128 queries in two halves of 64: while the tensor cores add one half's values and score its
// next keys, the other half's scores become weights. Two blocks share a multiprocessor.
#include "cuda/attention_output.cuh"
#include "cuda/hopper.cuh"
#include "cuda/sparse_attention_wgmma.h"
#include "cuda/tensor_map.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = hopper::kWarpgroup;
constexpr int kHalves = 2;
constexpr int kHalfRows = kQueryBlock / kHalves;
constexpr int kStages = 3;
constexpr int kChannelBytes = 128;  // of a row of v that lie together: half of its channels
constexpr int kQueryBytes = kQueryBlock * kHeadWidth;
constexpr int kKeyBytes = kKeyBlock * kHeadWidth;
constexpr int kHalfValueBytes = kKeyBlock * kChannelBytes;
constexpr int kValueBytes = kKeyBlock * kHeadRowBytes;
constexpr int kKeys = kQueryBytes;
constexpr int kValues = kKeys + kStages * kKeyBytes;
constexpr int kBarriers = kValues + kStages * kValueBytes;
constexpr int kAlignment = 1024;                 // of rows that are swizzled
constexpr int kTotals = kBarriers + kAlignment;  // of the lanes' weights, [half][thread]
constexpr int kSharedBytes = kAlignment + kTotals + kHalves * kThreads * static_cast<int>(sizeof(float2));
static_assert((1 + 2 * kStages) * static_cast<int>(sizeof(hopper::Barrier)) <= kTotals - kBarriers);
static_assert(kKeyBytes % kAlignment == 0 && kHalfValueBytes % kAlignment == 0);
static_assert(kOutputSharedBytes <= kBarriers && 2 * (kSharedBytes + 1024) <= 228 << 10);

using SoftmaxRows = OutputRows<kFloatOrigin>;
using Scores = std::int32_t[kKeyBlock / 8][4];

struct Shared {
  unsigned char* base;
  __device__ __forceinline__ unsigned char* keys(int tile) const {
    return base + kKeys + tile % kStages * kKeyBytes;
  }
  __device__ __forceinline__ unsigned char* values(int tile) const {
    return base + kValues + tile % kStages * kValueBytes;
  }
  __device__ __forceinline__ float2& total(int half, unsigned thread) const {
    return reinterpret_cast<float2*>(base + kTotals)[half * kThreads + thread];
  }
  __device__ __forceinline__ hopper::Barrier& queries_filled() const {
    return *reinterpret_cast<hopper::Barrier*>(base + kBarriers);
  }
  __device__ __forceinline__ hopper::Barrier& keys_filled(int tile) const {
    return (&queries_filled())[1 + tile % kStages];
  }
  __device__ __forceinline__ hopper::Barrier& values_filled(int tile) const {
    return (&queries_filled())[1 + kStages + tile % kStages];
  }
};

/// Parity of the phase in which a tile's stage is filled.
__device__ __forceinline__ unsigned round_of(int tile) { return static_cast<unsigned>(tile / kStages & 1); }

/// The blocks that a query block keeps, and the scales of their keys: a warp holds 32, one a lane.
class KeptBlocks {
 public:
  __device__ __forceinline__ KeptBlocks(const std::int32_t* lut, const float* scales, int kept, int lane)
      : lut_(lut), scales_(scales), kept_(kept), lane_(lane), held_(read(lane)), next_(read(kWarp + lane)) {
    scale_ = scales[held_];
  }

  /// From here on no tile before `tile` is asked for. Called for every tile.
  __device__ __forceinline__ void advance(int tile) {
    if (tile == 0 || tile % kWarp != 0) return;
    held_ = next_;
    scale_ = scales_[held_];
    next_ = read(tile + kWarp + lane_);
  }
  /// Of a tile from the last `advance` on, fewer than 32 ahead of it.
  __device__ __forceinline__ int block(int tile, int advanced) const {
    const bool later = tile / kWarp != advanced / kWarp;
    return __shfl_sync(kAllLanes, later ? next_ : held_, tile % kWarp);
  }
  __device__ __forceinline__ float scale(int tile) const {
    return __shfl_sync(kAllLanes, scale_, tile % kWarp);
  }

 private:
  __device__ __forceinline__ int read(int tile) const {
    const int inside = tile < kept_ ? tile : kept_ - 1;
    return lut_ == nullptr ? inside : lut_[inside];
  }

  const std::int32_t* lut_;
  const float* scales_;
  int kept_, lane_;
  int held_, next_;
  float scale_;
};

/// Begins the scores of a half's rows against a tile of keys.
__device__ __forceinline__ void begin_scores(Scores& scores, const unsigned char* queries,
                                             const unsigned char* keys) {
  const std::uint64_t q = hopper::describe_rows(queries);
  const std::uint64_t k = hopper::describe_rows(keys);
#pragma unroll
  for (int step = 0; step < kHeadWidth / 32; ++step) {
    hopper::multiply_64x64(scores, hopper::further(q, 32 * step), hopper::further(k, 32 * step), step > 0);
  }
}

/// Begins the addition of a tile's values, by their weights.
__device__ __forceinline__ void begin_values(SoftmaxRows& rows,
                                             const std::uint32_t (&weights)[kKeyBlock / 16][4],
                                             const unsigned char* values) {
  const std::uint64_t v = hopper::describe_columns(values, kHalfValueBytes);
#pragma unroll
  for (int step = 0; step < kKeyBlock / 16; ++step) {
    hopper::multiply_add_64x128(rows.sums, weights[step], hopper::further(v, 16 * kChannelBytes * step));
  }
}

/// A tile's scores as floats that are kFloatOrigin more.
__device__ __forceinline__ void to_floats(float (&out)[kKeyBlock / 8][4], const Scores& scores) {
#pragma unroll
  for (int j = 0; j < kKeyBlock / 8; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) out[j][e] = __int_as_float(scores[j][e] + kIntegerOrigin);
  }
}

/// Turns a tile's scores into weights; keys from `count` on get none. What the rows have summed may be in
/// use: it is left to be multiplied by `shrink`, if that is the result.
__device__ __forceinline__ bool weigh(std::uint32_t (&packed)[kKeyBlock / 16][4], float (&shrink)[2],
                                      SoftmaxRows& rows, float2& total, const Scores& scores,
                                      const float (&scale)[2], int count, int lane) {
  float part[2];
  float weights[kKeyBlock / 8][4];
  to_floats(weights, scores);
  rows.weigh(weights, part, weights, scale);
  const bool fits = SoftmaxRows::fit(part) && count >= kKeyBlock;
#pragma unroll
  for (int step = 0; step < kKeyBlock / 16; ++step) {
    pack_weights(packed[step], weights[2 * step], weights[2 * step + 1]);
  }
  const bool outgrown = __any_sync(kAllLanes, !fits);
  if (outgrown) {
    to_floats(weights, scores);
#pragma unroll
    for (int j = 0; j < kKeyBlock / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (8 * j + lane % 4 * 2 + e % 2 >= count) weights[j][e] = kMinusInfinity;
      }
    }
    rows.raise(shrink, weights, scale);
    rows.weigh(weights, part, weights, scale);
    total = make_float2(total.x * shrink[0], total.y * shrink[1]);
#pragma unroll
    for (int step = 0; step < kKeyBlock / 16; ++step) {
      pack_weights(packed[step], weights[2 * step], weights[2 * step + 1]);
    }
  }
  total = make_float2(total.x + part[0], total.y + part[1]);
  return outgrown;
}

/// Why it ends, and reads nothing too early: a query block is one warpgroup's, whose threads 0 and 32 start
/// its copies. Each tile's keys and values are copied once, and every thread waits for both before products
/// read them, so that no copy is under way at the end. A stage's next copy begins after the warpgroup has met
/// behind the wait for the products that read it; until then all its threads have waited for the stage's last
/// copy, so none is a phase behind, and the parity is enough.
__global__ void __launch_bounds__(kThreads, 2)
    sparse_attention_wgmma_kernel(const __grid_constant__ CUtensorMap q_map,
                                  const __grid_constant__ CUtensorMap k_map,
                                  const __grid_constant__ CUtensorMap v_map, HeadShape shape,
                                  Projections projections, Heads heads, Sparse sparse, std::int8_t* y,
                                  float* y_scales) {
  unsigned char* begin = shared_memory();
  const Shared shared{begin + (kAlignment - shared_address(begin) % kAlignment) % kAlignment};
  const unsigned thread = threadIdx.x;
  const int lane = static_cast<int>(thread % kWarp);
  const auto head = static_cast<int>(blockIdx.y);
  const auto tokens = static_cast<int>(shape.tokens);
  const auto kept = static_cast<int>(sparse.kept);
  const auto query_block = static_cast<int>(blockIdx.x);
  const int first_row = query_block * kQueryBlock;
  const int row = first_row + static_cast<int>(thread) / kWarp * 16;  // the warp's first of the first half
  const auto query_blocks = static_cast<int>(shape.query_blocks());
  const std::int32_t* lut =
      sparse.lut == nullptr ? nullptr : sparse.lut + (head * query_blocks + query_block) * kept;
  KeptBlocks blocks(lut, heads.k_scales + head * shape.key_blocks(), kept, lane);
  // Rows past the head's last are the next head's, or zeros: such queries are not stored, such keys masked.
  const auto copy_keys = [&](int tile, int block) {
    if (thread != 0) return;
    hopper::Barrier& filled = shared.keys_filled(tile);
    hopper::arrive_expecting(filled, kKeyBytes);
    hopper::copy_box(shared.keys(tile), k_map, 0, head * tokens + block * kKeyBlock, filled);
  };
  const auto copy_values = [&](int tile, int block) {
    if (thread != kWarp) return;
    hopper::Barrier& filled = shared.values_filled(tile);
    const int column = (2 * static_cast<int>(shape.channels()) + head * kHeadWidth) * 2;
    hopper::arrive_expecting(filled, kValueBytes);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      hopper::copy_box(shared.values(tile) + half * kHalfValueBytes, v_map, column + half * kChannelBytes,
                       block * kKeyBlock, filled);
    }
  };
  if (thread == 0) {
    for (int i = 0; i < 1 + 2 * kStages; ++i) hopper::initialize((&shared.queries_filled())[i], 1);
    hopper::publish_barriers();
  }
  __syncthreads();
  if (thread == 0) {
    hopper::arrive_expecting(shared.queries_filled(), kQueryBytes);
    hopper::copy_box(shared.base, q_map, 0, head * tokens + first_row, shared.queries_filled());
  }
#pragma unroll
  for (int tile = 0; tile < kStages; ++tile) {
    const int block = blocks.block(tile, 0);
    if (tile < kept) copy_keys(tile, block);
    if (tile < kept && tile < kStages - 1) copy_values(tile, block);
  }
  float q_scale[kHalves][2];
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int r = row + half * kHalfRows + 8 * e + lane / 4;
      q_scale[half][e] =
          r < tokens ? heads.q_scales[head * scale_stride(shape.tokens) + r] * kScoreScale : 1.0f;
    }
  }
  SoftmaxRows rows[kHalves];
  Scores scores[kHalves];
  // The zeros are in their registers before the first products: none may be made while others are under way.
  hopper::settle(rows[0].sums);
  hopper::settle(rows[1].sums);
#pragma unroll
  for (int half = 0; half < kHalves; ++half) shared.total(half, thread) = make_float2(0, 0);
  hopper::wait(shared.queries_filled(), 0);
  hopper::wait(shared.keys_filled(0), 0);
  hopper::wait(shared.values_filled(0), 0);
  __syncwarp();
  hopper::begin_products();
  begin_scores(scores[0], shared.base, shared.keys(0));
  hopper::commit_products();
  hopper::wait_products<0>();
  hopper::settle(scores[0]);
  hopper::begin_products();
  begin_scores(scores[1], shared.base + kHalfRows * kHeadWidth, shared.keys(0));
  hopper::commit_products();
  for (int tile = 0; tile < kept; ++tile) {
    blocks.advance(tile);
    const float k_scale = blocks.scale(tile);
    const int count = tokens - blocks.block(tile, tile) * kKeyBlock;
    // After the last tile its own scores are begun once more, and dropped.
    const int next = tile + 1 < kept ? tile + 1 : tile;
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      const float scale[2] = {q_scale[half][0] * k_scale, q_scale[half][1] * k_scale};
      std::uint32_t weights[kKeyBlock / 16][4];
      float shrink[2];
      const bool outgrown =
          weigh(weights, shrink, rows[half], shared.total(half, thread), scores[half], scale, count, lane);
      hopper::wait(half == 0 ? shared.keys_filled(next) : shared.values_filled(next), round_of(next));
      __syncwarp();
      // The other half's products: ptxas lets none be under way while operands of others are made.
      hopper::wait_products<0>();
      hopper::settle(scores[1 - half]);
      hopper::settle(rows[1 - half].sums);
      if (outgrown) rows[half].shrink(shrink);
      hopper::begin_products();
      begin_values(rows[half], weights, shared.values(tile));
      begin_scores(scores[half], shared.base + half * kHalfRows * kHeadWidth, shared.keys(next));
      hopper::commit_products();
      if (half == 0) {
        // Products that read this tile's keys, and the last tile's values, have ended in all warps.
        const int keys_block = blocks.block(tile + kStages, tile);
        const int values_block = blocks.block(tile + kStages - 1, tile);
        __syncthreads();
        if (tile + kStages < kept) copy_keys(tile + kStages, keys_block);
        if (tile + kStages - 1 < kept) copy_values(tile + kStages - 1, values_block);
        __syncwarp();
      }
    }
  }
  hopper::wait_products<0>();
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    hopper::settle(rows[half].sums);
    rows[half].total[0] = shared.total(half, thread).x;
    rows[half].total[1] = shared.total(half, thread).y;
    rows[half].normalize();
  }
  finish<kHalfRows, kThreads>(rows, shared.base, shape, projections, sparse, head, row, thread, y, y_scales);
}

}  // namespace

void sparse_attention_wgmma(Queue& queue, const HeadShape& shape, const Projections& projections,
                            const Heads& heads, const Sparse& sparse, std::int8_t* y, float* y_scales) {
  CUtensorMap q_map{};
  CUtensorMap k_map{};
  CUtensorMap v_map{};
  const std::int64_t rows = shape.heads * shape.tokens;
  if (!describe(q_map, heads.q, rows, kHeadWidth, kQueryBlock) ||
      !describe(k_map, heads.k, rows, kHeadWidth, kKeyBlock) ||
      !describe(v_map, reinterpret_cast<const std::int8_t*>(projections.values), shape.tokens,
                3 * shape.channels() * static_cast<std::int64_t>(sizeof(Bf16)), kKeyBlock)) {
    return queue.check("sparse_attention", cudaErrorNotSupported);
  }
  const auto blocks = static_cast<unsigned>(shape.query_blocks());
  queue.launch("sparse_attention", sparse_attention_wgmma_kernel,
               {dim3(blocks, static_cast<unsigned>(shape.heads)), kThreads, kSharedBytes}, q_map, k_map,
               v_map, shape, projections, heads, sparse, y, y_scales);
}

}  // namespace turboclip::cuda
