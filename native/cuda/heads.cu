// From the projections to what attention reads. Half a warp holds a head's 128 channels of one row; a block
// takes the 64 rows of a key block, so that no block needs another, and some heads of them, which share the
// rows' rotary angles. While it works on one head's q or k, what comes next is on its way.
#include "cuda/numbers.cuh"
#include "cuda/self_attention.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kHeadsABlock = 4;
constexpr int kLanesARow = kHeadWidth / 8;
constexpr int kRowsAtOnce = kThreads / kLanesARow;     // 32
constexpr int kRowsAThread = kKeyBlock / kRowsAtOnce;  // 2
constexpr int kOffsetRows = 256;                       // that the offset of k is the mean of
constexpr float kLog2E = 1.4426950408889634f;

/// The rotary angles, cosine and sine, of a row's channels column .. column + 7.
struct Turns {
  float2 pairs[4];

  __device__ __forceinline__ Turns(const HeadShape& shape, const RotaryAngles& angles, int row, int column) {
    const int width = static_cast<int>(shape.width);
    const int height = static_cast<int>(shape.height);
    const int line = row / width;
    const int frame = line / height;
    const float2* time = angles.time + frame * kTimePairs;
    const float2* down = angles.height + (line - frame * height) * kSpacePairs - kTimePairs;
    const float2* across = angles.width + (row - line * width) * kSpacePairs - (kTimePairs + kSpacePairs);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int pair = column / 2 + i;
      pairs[i] = (pair < kTimePairs ? time : pair < kTimePairs + kSpacePairs ? down : across)[pair];
    }
  }

  /// Eight channels of a row, normed and turned.
  __device__ __forceinline__ void apply(float (&out)[8], const uint4& raw, float inverse,
                                        const float (&weight)[8]) const {
    unpack_bf16(out, raw);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float even = out[2 * i] * inverse * weight[2 * i];
      const float odd = out[2 * i + 1] * inverse * weight[2 * i + 1];
      out[2 * i] = even * pairs[i].x - odd * pairs[i].y;
      out[2 * i + 1] = even * pairs[i].y + odd * pairs[i].x;
    }
  }
};

/// Sums what the block's threads hold for the same channels; thread d < 128 gets channel d's. What it sums
/// in, kSumFloats, is free again after the block's next barrier.
constexpr int kSumFloats = kThreads / kWarp * kHeadWidth;
__device__ __forceinline__ float sum_rows(float* shared, float (&part)[8], int thread) {
#pragma unroll
  for (float& value : part) value += __shfl_xor_sync(kAllLanes, value, kLanesARow);
  if (thread % kWarp < kLanesARow) {
    float* line = shared + thread / kWarp * kHeadWidth + thread % kLanesARow * 8;
    *reinterpret_cast<float4*>(line) = make_float4(part[0], part[1], part[2], part[3]);
    *reinterpret_cast<float4*>(line + 4) = make_float4(part[4], part[5], part[6], part[7]);
  }
  __syncthreads();
  float sum = 0;
  if (thread < kHeadWidth) {
#pragma unroll
    for (int i = 0; i < kThreads / kWarp; ++i) sum += shared[i * kHeadWidth + thread];
  }
  return sum;
}

/// A head's values of a key block, as they were read.
constexpr int kRawBytes = kKeyBlock * kHeadWidth * static_cast<int>(sizeof(Bf16));

/// Softmax over the row's 128 channels, in place.
__device__ __forceinline__ void softmax_row(float (&x)[8]) {
  float largest = x[0];
#pragma unroll
  for (int i = 1; i < 8; ++i) largest = max_or_nan(largest, x[i]);
  largest = lanes_max<kLanesARow>(largest);
  float sum = 0;
#pragma unroll
  for (float& value : x) {
    value = exp2_fast((value - largest) * kLog2E);
    sum += value;
  }
  const float scale = reciprocal(lanes_sum<kLanesARow>(sum));
#pragma unroll
  for (float& value : x) value *= scale;
}

__device__ __forceinline__ float largest_of(const float (&x)[8]) {
  float largest = 0;
#pragma unroll
  for (const float value : x) largest = max_or_nan(largest, fabsf(value));
  return largest;
}

/// The mean of k over evenly spaced rows: near enough to the mean of all, and one pass cheaper.
__global__ void __launch_bounds__(kThreads)
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

/// A thread's share of a key block: eight channels of two rows.
struct Share {
  Turns turns[kRowsAThread];
  int row;     // of the first
  int column;  // in a head
  int tokens;
  std::int64_t stride;  // of the projections

  __device__ __forceinline__ Share(const HeadShape& shape, const RotaryAngles& angles, int block, int thread)
      : turns{turns_of(shape, angles, block, thread, 0), turns_of(shape, angles, block, thread, 1)},
        row(block * kKeyBlock + thread / kLanesARow),
        column(thread % kLanesARow * 8),
        tokens(static_cast<int>(shape.tokens)),
        stride(3 * shape.channels()) {}

  __device__ __forceinline__ int at(int i) const { return row + i * kRowsAtOnce; }
  __device__ __forceinline__ bool inside(int i) const { return at(i) < tokens; }

  /// Starts the copy of a head's values, zeros past the last row. What a thread copies it alone reads.
  __device__ __forceinline__ void copy(uint4* raw, const Bf16* values) const {
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      copy_async(raw + i * kThreads, values + (inside(i) ? at(i) : 0) * stride + column, inside(i) ? 16 : 0);
    }
  }

 private:
  static __device__ __forceinline__ Turns turns_of(const HeadShape& shape, const RotaryAngles& angles,
                                                   int block, int thread, int i) {
    const int row = block * kKeyBlock + thread / kLanesARow + i * kRowsAtOnce;
    const int last = static_cast<int>(shape.tokens) - 1;
    return {shape, angles, row < last ? row : last, thread % kLanesARow * 8};
  }
};
static_assert(kRowsAThread == 2);

/// The share's rows of one head, in registers: [row][channel].
struct Rows {
  const Share& share;
  float values[kRowsAThread][8];

  __device__ __forceinline__ Rows(const Share& of, const uint4* raw, const float* inverse,
                                  const float* head_weights)
      : share(of) {
    float weight[8];
    load_floats(weight, head_weights + share.column);
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      share.turns[i].apply(values[i], raw[i * kThreads], share.inside(i) ? inverse[share.at(i)] : 0.0f,
                           weight);
    }
  }

  __device__ __forceinline__ void sum(float (&out)[8]) const {
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      out[e] = 0;
#pragma unroll
      for (int i = 0; i < kRowsAThread; ++i) out[e] += values[i][e];
    }
  }

  /// The softmax of each row, rounded and stored over what the row was read from; rows past the last are 0.
  __device__ __forceinline__ void features(Bf16* to) {
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      softmax_row(values[i]);
      if (share.inside(i)) store_bf16(to + share.at(i) * share.stride + share.column, values[i]);
#pragma unroll
      for (int e = 0; e < 8; ++e) values[i][e] = share.inside(i) ? round_bf16(values[i][e]) : 0.0f;
    }
  }
};

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
  for (int i = 0; i < kThreads / kWarp; ++i) largest = max_or_nan(largest, of_warps[i]);
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

__global__ void __launch_bounds__(kThreads, 1)
    heads_kernel(HeadShape shape, Projections projections, HeadWeights weights, RotaryAngles angles,
                 Heads heads) {
  auto* raw_q = reinterpret_cast<uint4*>(shared_memory()) + threadIdx.x;
  uint4* raw_k = raw_q + kRowsAThread * kThreads;
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
  constexpr std::size_t kShared = 2 * kRawBytes + 2 * kSumBytes + kThreads / kWarp * sizeof(float);
  const auto count = static_cast<unsigned>(shape.heads);
  queue.launch("key_offset", key_offset_kernel, {dim3(count), kThreads, kSumBytes}, shape, projections,
               weights, angles, heads.k_offset);
  queue.launch("prepare_heads", heads_kernel,
               {dim3(static_cast<unsigned>(shape.key_blocks()),
                     static_cast<unsigned>(ceil_div(shape.heads, kHeadsABlock))),
                kThreads, kShared},
               shape, projections, weights, angles, heads);
}

}  // namespace turboclip::cuda
