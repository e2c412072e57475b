// Softmax attention over the kept key blocks: INT8 q . k, bfloat16 p . v, float32 state. Warps with their
// rows of q in registers; two stages of k and v within 48 KiB, so that two blocks share a multiprocessor of
// 100. (Online softmax: FlashAttention, https://arxiv.org/abs/2205.14135.)
#include "cuda/attention_scores.cuh"
#include "cuda/sparse_attention_e4m3.h"
#include "cuda/sparse_attention_wgmma.h"

namespace turboclip::cuda {
namespace {

constexpr int kGroups = 2;  // of 16 rows, a warp
constexpr int kThreads = kQueryBlock / 16 / kGroups * kWarp;
constexpr int kKeysAtOnce = 16;  // a step of p . v; 32 spill beside q and the output
constexpr int kStageBytes = kKeyBytes + kKeyBlock * kHeadRowBytes;
constexpr int kStages = 2;
constexpr int kScales = kStages * kStageBytes;  // of the block's rows of q
constexpr int kSharedBytes = kScales + kQueryBlock * static_cast<int>(sizeof(float));
static_assert(blocks_by_shared_memory(kSharedBytes) == 2);
static_assert(kOutputSharedBytes <= kSharedBytes);

using SoftmaxRows = OutputRows<kFloatOrigin>;

/// q of a warp's 32 rows as left operands; rows past the last are zeros.
struct Queries {
  std::uint32_t values[kGroups][kHeadWidth / 32][4];

  /// scales: of the warp's rows, in shared memory.
  __device__ __forceinline__ Queries(const Heads& heads, const HeadShape& shape, int head, int row, int lane,
                                     float* scales) {
    const auto tokens = static_cast<int>(shape.tokens);
    const std::int8_t* q = heads.q + head * shape.tokens * kHeadWidth;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int r = row + 16 * i + 8 * half + lane / 4;
        const bool inside = r < tokens;
        if (lane % 4 == 0) {
          scales[16 * i + 8 * half + lane / 4] =
              inside ? heads.q_scales[head * scale_stride(shape.tokens) + r] * kScoreScale : 1.0f;
        }
        const auto* words =
            reinterpret_cast<const std::uint32_t*>(q + (inside ? r : 0) * kHeadWidth) + lane % 4;
#pragma unroll
        for (int step = 0; step < kHeadWidth / 32; ++step) {
          values[i][step][half] = inside ? words[8 * step] : 0;
          values[i][step][2 + half] = inside ? words[8 * step + 4] : 0;
        }
      }
    }
  }

  __device__ __forceinline__ void get(std::uint32_t (&left)[kGroups][4], int step) const {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) left[i][e] = values[i][step][e];
    }
  }
};

__global__ void __launch_bounds__(kThreads, 2)
    sparse_attention_kernel(HeadShape shape, Projections projections, Heads heads, Sparse sparse,
                            std::int8_t* y, float* y_scales) {
  unsigned char* shared = shared_memory();
  const int head = static_cast<int>(blockIdx.y);
  const auto tokens = static_cast<int>(shape.tokens);
  const auto v_stride = static_cast<unsigned>(3 * shape.channels());
  const auto v_column = static_cast<unsigned>(2 * shape.channels() + head * kHeadWidth);
  const float* k_scales = heads.k_scales + head * shape.key_blocks();
  const auto kept = static_cast<int>(sparse.kept);
  const auto block_at = [&](int index) { return kept_block(sparse, shape, head, index); };
  const auto copy = [&](int index, int block, unsigned by) {
    unsigned char* stage = shared + index % kStages * kStageBytes;
    const int first = block * kKeyBlock;
    copy_int8_rows<kKeyBlock, kThreads>(stage, heads.k, shape, head, first, by);
#pragma unroll
    for (int i = 0; i < kKeyBlock * kHeadRowBytes / 16 / kThreads; ++i) {
      const unsigned row = i * (kThreads / 16) + by / 16;
      const unsigned chunk = by % 16;
      copy_async(stage + kKeyBytes + head_offset(row, chunk),
                 projections.values +
                     (source_row(first + static_cast<int>(row), tokens) * v_stride + (v_column + chunk * 8)),
                 16);
    }
    copy_commit();
  };
  int block = block_at(0);
  unsigned thread = threadIdx.x;
  copy(0, block, thread);
  const auto first_row = [&] {
    return static_cast<int>(blockIdx.x) * kQueryBlock + static_cast<int>(thread / kWarp * 16 * kGroups);
  };
  const auto q_scales = [&] {
    return reinterpret_cast<float*>(shared + kScales) + thread / kWarp * 16 * kGroups;
  };
  const Queries q(heads, shape, head, first_row(), static_cast<int>(thread % kWarp), q_scales());
  SoftmaxRows rows[kGroups];
  for (int index = 0; index < kept; ++index) {
    forget(thread);  // or what is computed from it would wait in registers
    const int lane = static_cast<int>(thread % kWarp);
    const float k_scale = k_scales[block];
    const int count = tokens - block * kKeyBlock;
    copy_wait<0>();
    // The copies are here, and all warps have left the stage that is filled next.
    __syncthreads();
    const unsigned char* keys = shared + index % kStages * kStageBytes;
    if (index + 1 < kept) {
      block = block_at(index + 1);
      copy(index + 1, block, thread);
    }
    float scores[kGroups][kKeysAtOnce / 8][4];
    score(scores, q, keys, 0, lane);
    float scale[kGroups][2];
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      scale[i][0] = q_scales()[16 * i + lane / 4] * k_scale;
      scale[i][1] = q_scales()[16 * i + 8 + lane / 4] * k_scale;
    }
    const bool whole = count >= kKeyBlock;
#pragma unroll
    for (int key = 0; key < kKeyBlock; key += kKeysAtOnce) {
      float part[kGroups][2];
      bool fits = whole;
#pragma unroll
      for (int i = 0; i < kGroups; ++i) {
        rows[i].weigh(scores[i], part[i], scores[i], scale[i]);
        fits = fits && SoftmaxRows::fit(part[i]);
      }
      // Rare: a row's first keys, the clip's last keys, or scores that grow by 2^40.
      if (__any_sync(kAllLanes, !fits)) {
        if (key >= count) break;  // a softmax over no key is not defined
        score(scores, q, keys, key, lane);
        if (count < key + kKeysAtOnce) mask(scores, count - key, lane);
#pragma unroll
        for (int i = 0; i < kGroups; ++i) {
          rows[i].raise_and_shrink(scores[i], scale[i]);
          rows[i].weigh(scores[i], part[i], scores[i], scale[i]);
        }
      }
      std::uint32_t weights[kGroups][kKeysAtOnce / 16][4];
#pragma unroll
      for (int i = 0; i < kGroups; ++i) {
        rows[i].add(part[i]);
#pragma unroll
        for (int step = 0; step < kKeysAtOnce / 16; ++step) {
          pack_weights(weights[i][step], scores[i][2 * step], scores[i][2 * step + 1]);
        }
      }
      add_values(rows, weights, keys + kKeyBytes, key, lane);
      if (key + kKeysAtOnce < kKeyBlock) score(scores, q, keys, key + kKeysAtOnce, lane);
    }
  }
#pragma unroll
  for (int i = 0; i < kGroups; ++i) rows[i].normalize();
  forget(thread);
  finish<16, kThreads>(rows, shared, shape, projections, sparse, head, first_row(), thread, y, y_scales);
}

}  // namespace

void sparse_attention(Queue& queue, const HeadShape& shape, const Projections& projections,
                      const Heads& heads, const Sparse& sparse, std::int8_t* y, float* y_scales,
                      ChosenAttention tiles) {
  const AttentionTiles taken = tiles.value_or(best_attention_tiles(queue.device()));
  if (taken == AttentionTiles::wgmma) {
    return sparse_attention_wgmma(queue, shape, projections, heads, sparse, y, y_scales);
  }
  if (taken == AttentionTiles::e4m3) {
    return sparse_attention_e4m3(queue, shape, projections, heads, sparse, y, y_scales);
  }
  queue.launch("sparse_attention", sparse_attention_kernel,
               {dim3(static_cast<unsigned>(shape.query_blocks()), static_cast<unsigned>(shape.heads)),
                kThreads, kSharedBytes},
               shape, projections, heads, sparse, y, y_scales);
}

}  // namespace turboclip::cuda
