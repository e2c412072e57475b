// Dense attention over few keys, in bfloat16: eight warps of 16 rows, keys in tiles of 32. q stays in shared
// memory: in registers it would leave room for one block on a multiprocessor.
#include "cuda/attention_tile.cuh"
#include "cuda/cross_attention_wgmma.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = 16 * kThreads / kWarp;
constexpr int kKeys = 32;  // of a tile
constexpr int kTileBytes = kKeys * kHeadRowBytes;
constexpr int kStageBytes = 2 * kTileBytes;
constexpr int kStages = 2;
constexpr int kQueryBytes = kRows * kHeadRowBytes;
constexpr int kSharedBytes = kQueryBytes + kStages * kStageBytes;
constexpr float kLog2E = 1.4426950408889634f;
static_assert(blocks_by_shared_memory(kSharedBytes) == 1);  // an RTX 5090's; a Hopper card holds two

__global__ void __launch_bounds__(kThreads) text_key_kernel(TextKeys keys, int channels, const float* inverse,
                                                            const float* norm_k, const float* norm_q) {
  const int column = (static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x)) * 8;
  const int row = static_cast<int>(blockIdx.x);
  if (column >= channels) return;
  Bf16* at = keys.values + row * static_cast<std::int64_t>(2 * channels) + column;
  float k[8];
  float weight_k[8];
  float weight_q[8];
  load_bf16(k, at);
  load_floats(weight_k, norm_k + column);
  load_floats(weight_q, norm_q + column);
#pragma unroll
  for (int e = 0; e < 8; ++e) k[e] = k[e] * inverse[row] * weight_k[e] * weight_q[e];
  store_bf16(at, k);
}

/// Scores of the tile's keys for 16 rows of q, still to be multiplied by `scale`. line and swizzle: of the
/// lane, in q and in the keys.
__device__ __forceinline__ void score(float (&out)[kKeys / 8][4], const unsigned char* q, int q_swizzle,
                                      const unsigned char* keys, int k_swizzle) {
#pragma unroll
  for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) out[j][e] = 0;
  }
#pragma unroll
  for (int step = 0; step < kHeadWidth / 16; ++step) {
    std::uint32_t a[4];
    load_tiles(a, q + (q_swizzle ^ 2 * step << 4));
#pragma unroll
    for (int j = 0; j < kKeys / 16; ++j) {
      std::uint32_t b[4];
      load_tiles(b, keys + 16 * j * kHeadRowBytes + (k_swizzle ^ 2 * step << 4));
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
        multiply_add_bf16(out[2 * j + half], a, right);
      }
    }
  }
}

/// Scores from the key `count` on become those of no key, and the last gets `bias`, in the softmax's
/// exponent.
__device__ __forceinline__ void mask(float (&scores)[kKeys / 8][4], int count, float bias,
                                     const float (&scale)[2], int lane) {
#pragma unroll
  for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int key = 8 * j + lane % 4 * 2 + e % 2;
      if (key + 1 == count) scores[j][e] += bias * kLog2E * reciprocal(scale[e / 2]);
      if (key >= count) scores[j][e] = kMinusInfinity;
    }
  }
}

__global__ void __launch_bounds__(kThreads, 2)
    cross_attention_kernel(CrossQueries queries, TextKeys text, std::int8_t* y, float* y_scales) {
  unsigned char* shared = shared_memory();
  unsigned place = threadIdx.x;
  const int head = static_cast<int>(blockIdx.y);
  const auto tokens = static_cast<int>(queries.tokens);
  const auto text_rows = static_cast<int>(text.rows);
  const std::int64_t channels = queries.heads * kHeadWidth;
  const int tiles = (text_rows + kKeys - 1) / kKeys;
  unsigned char* stages = shared + kQueryBytes;
  const auto copy = [&](int tile, int thread) {
    if (tile < tiles) {
      unsigned char* stage = stages + tile % kStages * kStageBytes;
      const Bf16* k = text.values + blockIdx.y * kHeadWidth;
      copy_head_rows<kKeys, kThreads>(stage, k, tile * kKeys, text_rows, 2 * channels, thread);
      copy_head_rows<kKeys, kThreads>(stage + kTileBytes, k + channels, tile * kKeys, text_rows, 2 * channels,
                                      thread);
    }
    copy_commit();
  };
  const int first = static_cast<int>(blockIdx.x) * kRows;
  copy_head_rows<kRows, kThreads>(shared, queries.values + head * kHeadWidth, first, tokens, channels,
                                  static_cast<int>(place));
  copy(0, static_cast<int>(place));
  float scale[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r =
        first + static_cast<int>(place) / kWarp * 16 + 8 * half + static_cast<int>(place) % kWarp / 4;
    scale[half] = r < tokens ? queries.inverse[r] * kScoreScale : 1.0f;
  }
  OutputRows<0> rows[1];
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    copy_wait<0>();
    __syncthreads();
    forget(place);  // or what is computed from it would wait in registers
    const auto thread = static_cast<int>(place);
    const int lane = thread % kWarp;
    copy(tile + 1, thread);
    const unsigned char* stage = stages + tile % kStages * kStageBytes;
    const unsigned char* q = shared + (thread / kWarp * 16 + lane % 16) * kHeadRowBytes;
    const unsigned char* k = stage + (lane / 16 * 8 + lane % 8) * kHeadRowBytes;
    const int q_swizzle = (lane / 16 ^ lane % 8) << 4;
    const int k_swizzle = (lane / 8 % 2 ^ lane % 8) << 4;
    const int count = text_rows - tile * kKeys;
    float scores[kKeys / 8][4];
    score(scores, q, q_swizzle, k, k_swizzle);
    if (count <= kKeys) mask(scores, count, text.last_bias, scale, lane);
    if (__any_sync(kAllLanes, rows[0].outgrown(scores, scale))) rows[0].raise_and_shrink(scores, scale);
    float part[2];
    rows[0].weigh(scores, part, scores, scale);
    rows[0].add(part);
    std::uint32_t weights[1][kKeys / 16][4];
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) {
      pack_weights(weights[0][step], scores[2 * step], scores[2 * step + 1]);
    }
    add_values(rows, weights, stage + kTileBytes, 0, lane);
  }
  rows[0].normalize();
  forget(place);
  const int row = first + static_cast<int>(place) / kWarp * 16;
  // Over the warp's own rows of q.
  unsigned char* slab = shared + place / kWarp * 16 * kHeadRowBytes;
  const auto lane = static_cast<int>(place % kWarp);
  __syncwarp();
  store_rows(rows[0], slab, row, queries.tokens, head, channels, y, y_scales, lane);
}

}  // namespace

void prepare_text_keys(Queue& queue, const TextKeys& keys, std::int64_t heads, const float* inverse,
                       const float* norm_k, const float* norm_q) {
  const std::int64_t channels = heads * kHeadWidth;
  queue.launch(
      "prepare_text_keys", text_key_kernel,
      {dim3(static_cast<unsigned>(keys.rows), static_cast<unsigned>(ceil_div(channels, 8 * kThreads))),
       kThreads},
      keys, static_cast<int>(channels), inverse, norm_k, norm_q);
}

void cross_attention(Queue& queue, const CrossQueries& q, const TextKeys& keys, std::int8_t* y,
                     float* y_scales, ChosenAttention tiles) {
  const AttentionTiles taken = tiles.value_or(best_attention_tiles(queue.device()));
  if (taken == AttentionTiles::wgmma && keys.rows <= kWgmmaTextRows) {
    return cross_attention_wgmma(queue, q, keys, y, y_scales);
  }
  queue.launch("cross_attention", cross_attention_kernel,
               {dim3(static_cast<unsigned>(ceil_div(q.tokens, kRows)), static_cast<unsigned>(q.heads)),
                kThreads, kSharedBytes},
               q, keys, y, y_scales);
}

}  // namespace turboclip::cuda
