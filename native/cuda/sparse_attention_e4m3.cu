// Softmax attention over the kept key blocks: INT8 q . k, e4m3 p . v with sums in halves, float32 state. For
// tensor cores that take four times as long for bfloat16 with float32 sums (an RTX 5090's). Warps of 16 rows,
// so that registers leave room for 16 warps on a multiprocessor, which hide each other's softmax; values of a
// byte make up for the shared memory that they read more often than warps of 32 rows would.
// (Ranges narrow enough for sums in halves: SageAttention2++, https://arxiv.org/abs/2505.21136.)
#include "cuda/attention_scores.cuh"
#include "cuda/sparse_attention_e4m3.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = kQueryBlock / 16 * kWarp;
constexpr int kValueBytes = kHeadWidth * kKeyBlock;
constexpr int kStageBytes = kKeyBytes + kValueBytes;
constexpr int kStages = 2;
constexpr int kQueries = kStages * kStageBytes;
constexpr int kScales = kQueries + kQueryBlock * kHeadWidth;  // of the block's rows of q
constexpr int kSharedBytes = kScales + kQueryBlock * static_cast<int>(sizeof(float));
static_assert(blocks_by_shared_memory(kSharedBytes) == 2);
static_assert(kOutputSharedBytes <= kSharedBytes);

using SoftmaxRows = OutputRows<kFloatOrigin>;
constexpr float kMostExponent = 8.807354922f;  // log2 of kMostE4m3

/// A warp's 16 rows of q in shared memory: in registers there would be none left for the scores of 64 keys.
struct Queries {
  const unsigned char* rows;
  int lane;

  __device__ __forceinline__ void get(std::uint32_t (&left)[1][4], int step) const {
    const int row = lane % 16;
    load_tiles(left[0], rows + row * kHeadWidth + (((2 * step + lane / 16) ^ (row & 7)) << 4));
  }
};

/// Where 16 keys of a channel lie in a tile of values, [128 channels][64 keys]: chunks of two channels share
/// 128 bytes, and are swizzled so that ldmatrix meets no bank twice.
__device__ __forceinline__ int value_offset(int channel, int chunk) {
  return channel * kKeyBlock + ((chunk ^ channel / 2 % 4) << 4);
}

/// Starts the copies of a block's values.
__device__ __forceinline__ void copy_values(unsigned char* stage, const E4m3* values, unsigned thread) {
#pragma unroll
  for (unsigned i = 0; i < kValueBytes / 16 / kThreads; ++i) {
    const unsigned chunk = i * kThreads + thread;
    copy_async(stage + value_offset(static_cast<int>(chunk / 4), static_cast<int>(chunk % 4)),
               values + chunk * 16, 16);
  }
}

/// Scores become weights of at most kMostE4m3, left operands of two products with 32 keys each: the order of
/// keys in which values are stored is that in which a lane holds its scores (Heads::v).
__device__ __forceinline__ void weigh(std::uint32_t (&weights)[2][4], const SoftmaxRows& rows,
                                      float (&scores)[kKeyBlock / 8][4], const float (&scale)[2]) {
  float unrounded[2];  // sums, which nobody needs
  rows.weigh(scores, unrounded, scores, scale);
#pragma unroll
  for (int i = 0; i < kKeyBlock / 16; ++i) {
    const float(&first)[4] = scores[2 * i];
    const float(&second)[4] = scores[2 * i + 1];
    weights[i / 2][i % 2 * 2] = pack_e4m3(first[0], first[1], second[0], second[1]);
    weights[i / 2][i % 2 * 2 + 1] = pack_e4m3(first[2], first[3], second[2], second[3]);
  }
}

/// The sum of 64 products: halves, of rows lane / 4 and 8 more.
__device__ __forceinline__ void multiply_block(std::uint32_t (&sums)[2], const std::uint32_t (&weights)[2][4],
                                               const std::uint32_t (&values)[4]) {
  const std::uint32_t first[2] = {values[0], values[1]};
  const std::uint32_t second[2] = {values[2], values[3]};
  constexpr std::uint32_t kNone[2] = {0, 0};
  multiply_e4m3(sums, weights[0], first, kNone);
  multiply_e4m3(sums, weights[1], second, sums);
}

/// The weights' sums as the products have them, rounded, so that what their rounding adds to a row's values
/// it adds to the divisor too: a product with ones.
__device__ __forceinline__ void add_weights(float (&total)[2], const std::uint32_t (&weights)[2][4],
                                            const float (&by)[2]) {
  constexpr std::uint32_t kOnes = 0x38383838;
  constexpr std::uint32_t kColumns[4] = {kOnes, kOnes, kOnes, kOnes};
  std::uint32_t sums[2];
  multiply_block(sums, weights, kColumns);
#pragma unroll
  for (int half = 0; half < 2; ++half) total[half] = fmaf(total[half], by[half], unpack_f16(sums[half]).x);
}

/// sums = sums * by + weights * values.
__device__ __forceinline__ void add_values(float (&sums)[kHeadWidth / 8][4],
                                           const std::uint32_t (&weights)[2][4], const float (&by)[2],
                                           const unsigned char* values, int lane) {
  // value_offset(8 * j + lane % 8, lane / 8), with what does not change apart.
  const unsigned char* line = values + value_offset(lane % 8, lane / 8);
#pragma unroll
  for (int j = 0; j < kHeadWidth / 8; ++j) {
    std::uint32_t right[4];
    load_tiles(right, line + 8 * j * kKeyBlock);
    std::uint32_t part[2];
    multiply_block(part, weights, right);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float2 pair = unpack_f16(part[half]);
      sums[j][2 * half] = fmaf(sums[j][2 * half], by[half], pair.x);
      sums[j][2 * half + 1] = fmaf(sums[j][2 * half + 1], by[half], pair.y);
    }
  }
}

__global__ void __launch_bounds__(kThreads, 2)
    sparse_attention_e4m3_kernel(HeadShape shape, Projections projections, Heads heads, Sparse sparse,
                                 std::int8_t* y, float* y_scales) {
  unsigned char* shared = shared_memory();
  const int head = static_cast<int>(blockIdx.y);
  const auto tokens = static_cast<int>(shape.tokens);
  const std::int64_t first_block = head * shape.key_blocks();
  const auto kept = static_cast<int>(sparse.kept);
  const auto block_at = [&](int index) { return kept_block(sparse, shape, head, index); };
  const auto copy = [&](int index, int block, unsigned by) {
    unsigned char* stage = shared + index % kStages * kStageBytes;
    copy_int8_rows<kKeyBlock, kThreads>(stage, heads.k, shape, head, block * kKeyBlock, by);
    copy_values(stage + kKeyBytes, heads.v + (first_block + block) * kValueBytes, by);
    copy_commit();
  };
  int block = block_at(0);
  unsigned thread = threadIdx.x;
  copy_int8_rows<kQueryBlock, kThreads>(shared + kQueries, heads.q, shape, head,
                                        static_cast<int>(blockIdx.x) * kQueryBlock, thread);
  copy(0, block, thread);
  auto* q_scales = reinterpret_cast<float*>(shared + kScales);
  if (thread < kQueryBlock) {
    const auto row = source_row(static_cast<int>(blockIdx.x * kQueryBlock + thread), tokens);
    q_scales[thread] = heads.q_scales[head * scale_stride(shape.tokens) + row] * kScoreScale;
  }
  // A row's sums count in the scale of the values that were added last.
  SoftmaxRows rows[1];
  float v_scale = 1;
  for (int index = 0; index < kept; ++index) {
    forget(thread);  // or what is computed from it would wait in registers
    const int lane = static_cast<int>(thread % kWarp);
    const int row = static_cast<int>(thread / kWarp * 16);
    const float k_scale = heads.k_scales[first_block + block];
    const float next_v_scale = heads.v_scales[first_block + block];
    const int count = tokens - block * kKeyBlock;
    copy_wait<0>();
    // The copies are here, and all warps have left the stage that is filled next.
    __syncthreads();
    const unsigned char* keys = shared + index % kStages * kStageBytes;
    if (index + 1 < kept) {
      block = block_at(index + 1);
      copy(index + 1, block, thread);
    }
    float scores[1][kKeyBlock / 8][4];
    score(scores, Queries{shared + kQueries + row * kHeadWidth, lane}, keys, 0, lane);
    if (count < kKeyBlock) mask(scores, count, lane);
    const float scale[2] = {q_scales[row + lane / 4] * k_scale, q_scales[row + 8 + lane / 4] * k_scale};
    float by[2];
    rows[0].raise(by, scores[0], scale, kMostExponent);
    std::uint32_t weights[2][4];
    weigh(weights, rows[0], scores[0], scale);
    add_weights(rows[0].total, weights, by);
    const float rescale = v_scale * reciprocal(next_v_scale);
    v_scale = next_v_scale;
    by[0] *= rescale;
    by[1] *= rescale;
    add_values(rows[0].sums, weights, by, keys + kKeyBytes, lane);
  }
  const float by[2] = {v_scale * reciprocal(rows[0].total[0]), v_scale * reciprocal(rows[0].total[1])};
  rows[0].shrink(by);
  forget(thread);
  const int row = static_cast<int>(blockIdx.x * kQueryBlock + thread / kWarp * 16);
  finish<16, kThreads>(rows, shared, shape, projections, sparse, head, row, thread, y, y_scales);
}

}  // namespace

void sparse_attention_e4m3(Queue& queue, const HeadShape& shape, const Projections& projections,
                           const Heads& heads, const Sparse& sparse, std::int8_t* y, float* y_scales) {
  queue.launch("sparse_attention", sparse_attention_e4m3_kernel,
               {dim3(static_cast<unsigned>(shape.query_blocks()), static_cast<unsigned>(shape.heads)),
                kThreads, kSharedBytes},
               shape, projections, heads, sparse, y, y_scales);
}

}  // namespace turboclip::cuda
