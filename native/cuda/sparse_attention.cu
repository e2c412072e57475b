// Softmax attention over the kept key blocks: INT8 q . k, bfloat16 p . v, float32 state. Four warps of 32
// rows with q in registers; two stages of k and v within 48 KiB, so that two blocks share a multiprocessor of
// 100. (Online softmax: FlashAttention, https://arxiv.org/abs/2205.14135.)
#include "cuda/attention_tile.cuh"
#include "cuda/self_attention.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kGroups = 2;       // of 16 rows, a warp
constexpr int kKeysAtOnce = 16;  // 32 spill 7 to 14 registers beside q and the output
constexpr int kKeyBytes = kKeyBlock * kHeadWidth;
constexpr int kStageBytes = kKeyBytes + kKeyBlock * kHeadRowBytes;
constexpr int kStages = 2;
constexpr int kSharedBytes = kStages * kStageBytes;
static_assert(2 * (kSharedBytes + 1024) <= 100 << 10);
static_assert(kHeadWidth * kHeadRowBytes <= kSharedBytes && kQueryBlock * kHeadWidth <= kSharedBytes);

/// q of a warp's 32 rows as left operands; rows past the last are zeros.
struct Queries {
  std::uint32_t values[kGroups][kHeadWidth / 32][4];
  float scales[kGroups][2];

  __device__ __forceinline__ Queries(const Heads& heads, const HeadShape& shape, int head, int row,
                                     int lane) {
    const auto tokens = static_cast<int>(shape.tokens);
    const std::int8_t* q = heads.q + head * shape.tokens * kHeadWidth;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int r = row + 16 * i + 8 * half + lane / 4;
        const bool inside = r < tokens;
        scales[i][half] = inside ? heads.q_scales[head * scale_stride(shape.tokens) + r] * kScoreScale : 1.0f;
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
};

/// Scores of 32 keys from `key` of the tile on: integers, as floats.
__device__ __forceinline__ void score(float (&out)[kGroups][kKeysAtOnce / 8][4], const Queries& q,
                                      const unsigned char* keys, int key, int lane) {
  constexpr std::int32_t kMagic = 0x4B400000;  // as in gemm_w8a8.cuh; 128 products stay under 2^22
  constexpr float kMagicValue = 12582912.0f;
  std::int32_t sums[kGroups][kKeysAtOnce / 8][4];
  const unsigned char* line = keys + (key + lane / 16 * 8 + lane % 8) * kHeadWidth;
  const int swizzle = (lane / 8 % 2 ^ lane % 8) << 4;
#pragma unroll
  for (int step = 0; step < kHeadWidth / 32; ++step) {
#pragma unroll
    for (int j = 0; j < kKeysAtOnce / 16; ++j) {
      std::uint32_t b[4];
      load_tiles(b, line + 16 * j * kHeadWidth + (swizzle ^ 2 * step << 4));
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
#pragma unroll
        for (int i = 0; i < kGroups; ++i) {
          std::int32_t(&sum)[4] = sums[i][2 * j + half];
          if (step == 0) {
            const std::int32_t magic[4] = {kMagic, kMagic, kMagic, kMagic};
            multiply_s8(sum, q.values[i][step], right, magic);
          } else {
            multiply_s8(sum, q.values[i][step], right, sum);
          }
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kGroups; ++i) {
#pragma unroll
    for (int j = 0; j < kKeysAtOnce / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) out[i][j][e] = __int_as_float(sums[i][j][e]) - kMagicValue;
    }
  }
}

/// Scores of keys from `count` on become those of no key.
__device__ __forceinline__ void mask(float (&scores)[kGroups][kKeysAtOnce / 8][4], int count, int lane) {
#pragma unroll
  for (int i = 0; i < kGroups; ++i) {
#pragma unroll
    for (int j = 0; j < kKeysAtOnce / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (8 * j + lane % 4 * 2 + e % 2 >= count) scores[i][j][e] = kMinusInfinity;
      }
    }
  }
}

/// Adds f(q) M / (1e-5 + f(q) . s) + bias to normalised rows. matrix: [128 outputs][128 features] in shared
/// memory; features: f(q) of the row, in the projections.
__device__ __forceinline__ void add_linear_branch(OutputRows (&rows)[kGroups], const unsigned char* matrix,
                                                  const Sparse& sparse, const Bf16* features,
                                                  std::int64_t stride, const float* sums, int row, int tokens,
                                                  int lane) {
  const std::uint32_t* words[kGroups][2];
#pragma unroll
  for (int i = 0; i < kGroups; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + 16 * i + 8 * half + lane / 4;
      words[i][half] =
          reinterpret_cast<const std::uint32_t*>(features + (r < tokens ? r : tokens - 1) * stride) +
          lane % 4;
      float product = 0;
#pragma unroll
      for (int part = 0; part < kHeadWidth / 8; ++part) {
        const std::uint32_t pair = words[i][half][4 * part];
        const float* s = sums + 8 * part + lane % 4 * 2;
        product = fmaf(low_half(pair), s[0], fmaf(high_half(pair), s[1], product));
      }
      // The rows are multiplied by the divisor before the product is added, and divided by it after.
      const float divisor = 1e-5f + lanes_sum<4>(product);
      rows[i].total[half] = reciprocal(divisor);
#pragma unroll
      for (int j = 0; j < kHeadWidth / 8; ++j) {
        rows[i].sums[j][2 * half] *= divisor;
        rows[i].sums[j][2 * half + 1] *= divisor;
      }
    }
  }
#pragma unroll 1
  for (int step = 0; step < kHeadWidth / 16; ++step) {
    std::uint32_t left[kGroups][4];
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) left[i][e] = words[i][e % 2][8 * step + e / 2 * 4];
    }
#pragma unroll
    for (int j = 0; j < kHeadWidth / 16; ++j) {
      std::uint32_t b[4];
      load_tiles(b, head_chunk(matrix, 16 * j + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
#pragma unroll
        for (int i = 0; i < kGroups; ++i) multiply_add_bf16(rows[i].sums[2 * j + half], left[i], right);
      }
    }
  }
#pragma unroll
  for (int j = 0; j < kHeadWidth / 8; ++j) {
    const float* bias = sparse.bias + 8 * j + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        rows[i].sums[j][e] = fmaf(rows[i].sums[j][e], rows[i].total[e / 2], bias[e % 2]);
      }
    }
  }
}

__global__ void __launch_bounds__(kThreads, 2)
    sparse_attention_kernel(HeadShape shape, Projections projections, Heads heads, Sparse sparse,
                            std::int8_t* y, float* y_scales) {
  unsigned char* shared = shared_memory();
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int head = static_cast<int>(blockIdx.y);
  const auto tokens = static_cast<int>(shape.tokens);
  const std::int64_t channels = shape.channels();
  const std::int8_t* k = heads.k + head * shape.tokens * kHeadWidth;
  const Bf16* v = projections.values + 2 * channels + head * kHeadWidth;
  const float* k_scales = heads.k_scales + head * shape.key_blocks();
  const auto kept = static_cast<int>(sparse.kept);
  const std::int32_t* lut =
      sparse.lut == nullptr
          ? nullptr
          : sparse.lut + (static_cast<std::int64_t>(head) * shape.query_blocks() + blockIdx.x) * sparse.kept;
  const auto copy = [&](int index, int block) {
    unsigned char* stage = shared + index % kStages * kStageBytes;
    const int first = block * kKeyBlock;
#pragma unroll
    for (int i = 0; i < kKeyBytes / 16 / kThreads; ++i) {
      const int row = i * (kThreads / 8) + thread / 8;
      const int chunk = thread % 8;
      const bool inside = first + row < tokens;
      copy_async(stage + row * kHeadWidth + ((chunk ^ (row & 7)) << 4),
                 k + (inside ? first + row : 0) * static_cast<std::int64_t>(kHeadWidth) + chunk * 16,
                 inside ? 16 : 0);
    }
    copy_head_rows<kKeyBlock, kThreads>(stage + kKeyBytes, v, first, tokens, 3 * channels, thread);
    copy_commit();
  };
  int block = lut == nullptr ? 0 : lut[0];
  copy(0, block);
  const int row = static_cast<int>(blockIdx.x) * kQueryBlock + thread / kWarp * 16 * kGroups;
  const Queries q(heads, shape, head, row, lane);
  OutputRows rows[kGroups];
  for (int index = 0; index < kept; ++index) {
    const float k_scale = k_scales[block];
    const int count = tokens - block * kKeyBlock;
    copy_wait<0>();
    // The copies are here, and all warps have left the stage that is filled next.
    __syncthreads();
    if (index + 1 < kept) {
      block = lut == nullptr ? index + 1 : lut[index + 1];
      copy(index + 1, block);
    }
    const unsigned char* keys = shared + index % kStages * kStageBytes;
#pragma unroll 1  // or the halves' registers add up
    for (int key = 0; key < kKeyBlock; key += kKeysAtOnce) {
      if (key >= count) break;  // a softmax over no key is not defined
      float scores[kGroups][kKeysAtOnce / 8][4];
      score(scores, q, keys, key, lane);
      if (count < key + kKeysAtOnce) mask(scores, count - key, lane);
      float scale[kGroups][2];
      bool outgrown = false;
#pragma unroll
      for (int i = 0; i < kGroups; ++i) {
        scale[i][0] = q.scales[i][0] * k_scale;
        scale[i][1] = q.scales[i][1] * k_scale;
        outgrown = outgrown || rows[i].outgrown(scores[i], scale[i]);
      }
      if (__any_sync(kAllLanes, outgrown)) {
#pragma unroll
        for (int i = 0; i < kGroups; ++i) rows[i].rescale(scores[i], scale[i]);
      }
      std::uint32_t weights[kGroups][kKeysAtOnce / 16][4];
#pragma unroll
      for (int i = 0; i < kGroups; ++i) {
        rows[i].weigh(scores[i], scale[i]);
#pragma unroll
        for (int step = 0; step < kKeysAtOnce / 16; ++step) {
          pack_weights(weights[i][step], scores[i][2 * step], scores[i][2 * step + 1]);
        }
      }
      add_values(rows, weights, keys + kKeyBytes, key, lane);
    }
  }
#pragma unroll
  for (int i = 0; i < kGroups; ++i) rows[i].normalize();
  __syncthreads();
  if (sparse.matrix != nullptr) {
    const Bf16* matrix = sparse.matrix + static_cast<std::int64_t>(head) * kHeadWidth * kHeadWidth;
    copy_head_rows<kHeadWidth, kThreads>(shared, matrix, 0, kHeadWidth, kHeadWidth, thread);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    add_linear_branch(rows, shared, sparse, projections.values + head * kHeadWidth, 3 * channels,
                      sparse.sums + head * kHeadWidth, row, tokens, lane);
    __syncthreads();
  }
  float* scales = y_scales + head * scale_stride(shape.tokens);
  unsigned char* slab = shared + thread / kWarp * kGroups * 16 * kHeadWidth;
#pragma unroll
  for (int i = 0; i < kGroups; ++i) {
    rows[i].quantize(slab + i * 16 * kHeadWidth, lane, [&](int r, float scale) {
      if (row + 16 * i + r < tokens) scales[row + 16 * i + r] = scale;
    });
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kGroups; ++i) {
    const int first = row + 16 * i;
    if (first < tokens) {
      store_slab(slab + i * 16 * kHeadWidth, y + first * channels + head * kHeadWidth, channels,
                 tokens - first, lane);
    }
  }
}

}  // namespace

void sparse_attention(Queue& queue, const HeadShape& shape, const Projections& projections,
                      const Heads& heads, const Sparse& sparse, std::int8_t* y, float* y_scales) {
  queue.launch("sparse_attention", sparse_attention_kernel,
               {dim3(static_cast<unsigned>(shape.query_blocks()), static_cast<unsigned>(shape.heads)),
                kThreads, kSharedBytes},
               shape, projections, heads, sparse, y, y_scales);
}

}  // namespace turboclip::cuda
