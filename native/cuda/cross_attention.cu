// Dense attention over few keys, in bfloat16: eight warps of 16 rows, q in registers, keys in tiles of 32.
#include "cuda/attention_tile.cuh"
#include "cuda/cross_attention.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = 16 * kThreads / kWarp;
constexpr int kKeys = 32;  // of a tile
constexpr int kTileBytes = kKeys * kHeadRowBytes;
constexpr int kStageBytes = 2 * kTileBytes;
constexpr int kStages = 2;
constexpr int kSharedBytes = kStages * kStageBytes;
constexpr float kLog2E = 1.4426950408889634f;
static_assert(kRows * kHeadWidth <= kSharedBytes);

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

/// Scores of the tile's keys; those from `count` on become those of no key, and the last gets `bias`.
__device__ __forceinline__ void score(float (&out)[kKeys / 8][4],
                                      const std::uint32_t (&q)[kHeadWidth / 16][4], const unsigned char* keys,
                                      int count, const float (&bias)[2], int lane) {
#pragma unroll
  for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) out[j][e] = 0;
  }
#pragma unroll
  for (int step = 0; step < kHeadWidth / 16; ++step) {
#pragma unroll
    for (int j = 0; j < kKeys / 16; ++j) {
      std::uint32_t b[4];
      load_tiles(b, head_chunk(keys, 16 * j + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
        multiply_add_bf16(out[2 * j + half], q[step], right);
      }
    }
  }
  if (count > kKeys) return;
#pragma unroll
  for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int key = 8 * j + lane % 4 * 2 + e % 2;
      if (key + 1 == count) out[j][e] += bias[e / 2];
      if (key >= count) out[j][e] = kMinusInfinity;
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    cross_attention_kernel(CrossQueries queries, TextKeys text, std::int8_t* y, float* y_scales) {
  unsigned char* shared = shared_memory();
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int head = static_cast<int>(blockIdx.y);
  const auto tokens = static_cast<int>(queries.tokens);
  const auto text_rows = static_cast<int>(text.rows);
  const std::int64_t channels = queries.heads * kHeadWidth;
  const Bf16* k = text.values + head * kHeadWidth;
  const int tiles = (text_rows + kKeys - 1) / kKeys;
  const auto copy = [&](int tile) {
    if (tile < tiles) {
      unsigned char* stage = shared + tile % kStages * kStageBytes;
      copy_head_rows<kKeys, kThreads>(stage, k, tile * kKeys, text_rows, 2 * channels, thread);
      copy_head_rows<kKeys, kThreads>(stage + kTileBytes, k + channels, tile * kKeys, text_rows, 2 * channels,
                                      thread);
    }
    copy_commit();
  };
  copy(0);
  const int row = static_cast<int>(blockIdx.x) * kRows + thread / kWarp * 16;
  std::uint32_t q[kHeadWidth / 16][4];
  float scale[2];
  float bias[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + 8 * half + lane / 4;
    const bool inside = r < tokens;
    const Bf16* line = queries.values + (inside ? r : 0) * channels + head * kHeadWidth;
    const auto* words = reinterpret_cast<const std::uint32_t*>(line) + lane % 4;
#pragma unroll
    for (int step = 0; step < kHeadWidth / 16; ++step) {
      q[step][half] = inside ? words[8 * step] : 0;
      q[step][2 + half] = inside ? words[8 * step + 4] : 0;
    }
    scale[half] = inside ? queries.inverse[r] * kScoreScale : 1.0f;
    bias[half] = text.last_bias * kLog2E * reciprocal(scale[half]);
  }
  OutputRows<0> rows[1];
  for (int tile = 0; tile < tiles; ++tile) {
    copy_wait<0>();
    __syncthreads();
    copy(tile + 1);
    const unsigned char* stage = shared + tile % kStages * kStageBytes;
    float scores[kKeys / 8][4];
    score(scores, q, stage, text_rows - tile * kKeys, bias, lane);
    if (__any_sync(kAllLanes, rows[0].outgrown(scores, scale))) rows[0].rescale(scores, scale);
    rows[0].weigh(scores, scale);
    std::uint32_t weights[1][kKeys / 16][4];
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) {
      pack_weights(weights[0][step], scores[2 * step], scores[2 * step + 1]);
    }
    add_values(rows, weights, stage + kTileBytes, 0, lane);
  }
  rows[0].normalize();
  __syncthreads();
  float* scales = y_scales + head * scale_stride(queries.tokens);
  unsigned char* slab = shared + thread / kWarp * 16 * kHeadWidth;
  rows[0].quantize(slab, lane, [&](int r, float value) {
    if (row + r < tokens) scales[row + r] = value;
  });
  __syncwarp();
  if (row < tokens) {
    store_slab(slab, y + row * channels + head * kHeadWidth, channels, tokens - row, lane);
  }
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
                     float* y_scales) {
  queue.launch("cross_attention", cross_attention_kernel,
               {dim3(static_cast<unsigned>(ceil_div(q.tokens, kRows)), static_cast<unsigned>(q.heads)),
                kThreads, kSharedBytes},
               q, keys, y, y_scales);
}

}  // namespace turboclip::cuda
