// From the projections to what attention reads. A block takes the 64 rows of a key block, so that no block
// needs another, and some heads of them, which share the rows' rotary angles. While it works on one head's q
// or k, what comes next is on its way.
#include "cuda/head_rows.cuh"

namespace turboclip::cuda {
namespace {

constexpr int kHeadsABlock = 4;
constexpr int kOffsetRows = 256;  // that the offset of k is the mean of

/// The mean of k over evenly spaced rows: near enough to the mean of all, and one pass cheaper.
__global__ void __launch_bounds__(kHeadThreads)
    key_offset_kernel(HeadShape shape, Projections projections, HeadWeights weights, RotaryAngles angles,
                      float* offsets) {
  auto* shared = reinterpret_cast<float*>(shared_memory());
  const int head = static_cast<int>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  const int column = thread % kLanesARow * 8;
  const std::int64_t channels = shape.channels();
  const Bf16* keys = projections.values + channels + head * kHeadWidth + column;
  float weight[8];
  load_floats(weight, weights.norm_k + head * kHeadWidth + column);
  const int tokens = static_cast<int>(shape.tokens);
  const int count = tokens < kOffsetRows ? tokens : kOffsetRows;
  const int apart = tokens / count;
  float sum[8] = {};
#pragma unroll 4
  for (int i = thread / kLanesARow; i < count; i += kRowsAtOnce) {
    const int row = i * apart;
    float k[8];
    Turns(shape, angles, row, column)
        .apply(k, *reinterpret_cast<const uint4*>(keys + row * 3 * channels), projections.k_inverse[row],
               weight);
#pragma unroll
    for (int e = 0; e < 8; ++e) sum[e] += k[e];
  }
  const float total = sum_rows(shared, sum, thread);
  if (thread < kHeadWidth) {
    offsets[head * kHeadWidth + thread] = total * reciprocal(static_cast<float>(count));
  }
}

__device__ __forceinline__ void finish_queries(Rows& q, const Heads& heads, const HeadShape& shape, int head,
                                               int block, Bf16* values, float* sums, int thread) {
  const Share& share = q.share;
  float part[8];
  q.sum(part);
  const float total = sum_rows(sums, part, thread);
  if (thread < kHeadWidth) {
    heads.q_sums[(head * shape.key_blocks() + block) * kHeadWidth + thread] = total;
  }
#pragma unroll
  for (int i = 0; i < kRowsAThread; ++i) {
    const float scale = int8_scale(lanes_max<kLanesARow>(largest_of(q.values[i])));
    if (!share.inside(i)) continue;
    store_int8(heads.q + (head * shape.tokens + share.at(i)) * kHeadWidth + share.column, q.values[i],
               reciprocal(scale));
    if (share.column == 0) heads.q_scales[head * scale_stride(shape.tokens) + share.at(i)] = scale;
  }
  q.features(values);
}

/// sums: two areas, for k and for its features; of_warps: a float for each.
__device__ __forceinline__ void finish_keys(Rows& k, const Heads& heads, const HeadShape& shape, int head,
                                            int block, Bf16* values, float* const (&sums)[2], float* of_warps,
                                            int thread) {
  const Share& share = k.share;
  const std::int64_t key_blocks = shape.key_blocks();
  float offset[8];
  load_floats(offset, heads.k_offset + head * kHeadWidth + share.column);
  const auto smooth = [&](float(&out)[8], int i) {
#pragma unroll
    for (int e = 0; e < 8; ++e) out[e] = share.inside(i) ? k.values[i][e] - offset[e] : 0.0f;
  };
  float part[8] = {};
  float largest = 0;
#pragma unroll
  for (int i = 0; i < kRowsAThread; ++i) {
    float row[8];
    smooth(row, i);
#pragma unroll
    for (int e = 0; e < 8; ++e) part[e] += row[e];
    largest = max_or_nan(largest, largest_of(row));
  }
  largest = lanes_max<kWarp>(largest);
  if (thread % kWarp == 0) of_warps[thread / kWarp] = largest;
  const float total = sum_rows(sums[0], part, thread);
  if (thread < kHeadWidth) {
    const int left = share.tokens - block * kKeyBlock;
    const auto count = static_cast<float>(left < kKeyBlock ? left : kKeyBlock);
    heads.k_means[(head * kHeadWidth + thread) * key_blocks + block] = total * reciprocal(count);
  }
#pragma unroll
  for (int i = 0; i < kHeadThreads / kWarp; ++i) largest = max_or_nan(largest, of_warps[i]);
  const float scale = int8_scale(largest);
  if (thread == 0) heads.k_scales[head * key_blocks + block] = scale;
  const float factor = reciprocal(scale);
#pragma unroll
  for (int i = 0; i < kRowsAThread; ++i) {
    if (!share.inside(i)) continue;
    float row[8];
    smooth(row, i);
    store_int8(heads.k + (head * shape.tokens + share.at(i)) * kHeadWidth + share.column, row, factor);
  }
  k.features(values);
  k.sum(part);
  const float features = sum_rows(sums[1], part, thread);
  if (thread < kHeadWidth) heads.feature_sums[(head * key_blocks + block) * kHeadWidth + thread] = features;
}

__global__ void __launch_bounds__(kHeadThreads, 1)
    heads_kernel(HeadShape shape, Projections projections, HeadWeights weights, RotaryAngles angles,
                 Heads heads) {
  auto* raw_q = reinterpret_cast<uint4*>(shared_memory()) + threadIdx.x;
  uint4* raw_k = raw_q + kRowsAThread * kHeadThreads;
  auto* areas = reinterpret_cast<float*>(shared_memory() + 2 * kRawBytes);
  float* of_warps = areas + 2 * kSumFloats;
  const int block = static_cast<int>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  const int first = static_cast<int>(blockIdx.y) * kHeadsABlock;
  const int all = static_cast<int>(shape.heads);
  const int end = first + kHeadsABlock < all ? first + kHeadsABlock : all;
  const std::int64_t channels = shape.channels();
  const Share share(shape, angles, block, thread);
  share.copy(raw_q, projections.values + first * kHeadWidth);
  copy_commit();
#pragma unroll 1
  for (int head = first; head < end; ++head) {
    Bf16* q_values = projections.values + head * kHeadWidth;
    Bf16* k_values = q_values + channels;
    // Three sums a head take two areas in turns, so that no two on end share one.
    float* one = areas + head % 2 * kSumFloats;
    float* other = areas + (head + 1) % 2 * kSumFloats;
    share.copy(raw_k, k_values);
    copy_commit();
    copy_wait<1>();
    Rows q(share, raw_q, projections.q_inverse, weights.norm_q + head * kHeadWidth);
    finish_queries(q, heads, shape, head, block, q_values, one, thread);
    if (head + 1 < end) share.copy(raw_q, q_values + kHeadWidth);
    copy_commit();
    copy_wait<1>();
    Rows k(share, raw_k, projections.k_inverse, weights.norm_k + head * kHeadWidth);
    finish_keys(k, heads, shape, head, block, k_values, {other, one}, of_warps, thread);
  }
}

}  // namespace

void prepare_heads(Queue& queue, const HeadShape& shape, const Projections& projections,
                   const HeadWeights& weights, const RotaryAngles& angles, const Heads& heads) {
  constexpr std::size_t kSumBytes = kSumFloats * sizeof(float);
  constexpr std::size_t kShared = 2 * kRawBytes + 2 * kSumBytes + kHeadThreads / kWarp * sizeof(float);
  const auto count = static_cast<unsigned>(shape.heads);
  queue.launch("key_offset", key_offset_kernel, {dim3(count), kHeadThreads, kSumBytes}, shape, projections,
               weights, angles, heads.k_offset);
  queue.launch("prepare_heads", heads_kernel,
               {dim3(static_cast<unsigned>(shape.key_blocks()),
                     static_cast<unsigned>(ceil_div(shape.heads, kHeadsABlock))),
                kHeadThreads, kShared},
               shape, projections, weights, angles, heads);
}

}  // namespace turboclip::cuda
