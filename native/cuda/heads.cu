// From the projections to what attention reads. Half a warp holds a head's 128 channels of one row; a block
// takes the 64 rows of a key block, so that no block needs another.
#include "cuda/numbers.cuh"
#include "cuda/self_attention.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanesARow = kHeadWidth / 8;
constexpr int kRowsAtOnce = kThreads / kLanesARow;     // 16
constexpr int kRowsAThread = kKeyBlock / kRowsAtOnce;  // 4
constexpr int kOffsetRows = 256;                       // that the offset of k is the mean of
constexpr float kLog2E = 1.4426950408889634f;

/// What turns a projection's row into q or k.
struct Source {
  const Bf16* values;    // of row 0, this head
  const float* inverse;  // [L]
  const float* weight;   // [128], this head's
  std::int64_t stride;
};

__device__ __forceinline__ float2 angle(const HeadShape& shape, const RotaryAngles& angles, int row,
                                        int pair) {
  const int width = static_cast<int>(shape.width);
  const int height = static_cast<int>(shape.height);
  if (pair < kTimePairs) return angles.time[row / (width * height) * kTimePairs + pair];
  pair -= kTimePairs;
  if (pair < kSpacePairs) return angles.height[row / width % height * kSpacePairs + pair];
  return angles.width[row % width * kSpacePairs + pair - kSpacePairs];
}

/// Channels column .. column + 7 of the row, normed and turned.
__device__ __forceinline__ void load_row(float (&out)[8], const Source& source, const HeadShape& shape,
                                         const RotaryAngles& angles, int row, int column) {
  float raw[8];
  float weight[8];
  load_bf16(raw, source.values + row * source.stride + column);
  load_floats(weight, source.weight + column);
  const float inverse = source.inverse[row];
#pragma unroll
  for (int i = 0; i < 8; i += 2) {
    const float2 turn = angle(shape, angles, row, (column + i) / 2);
    const float even = raw[i] * inverse * weight[i];
    const float odd = raw[i + 1] * inverse * weight[i + 1];
    out[i] = even * turn.x - odd * turn.y;
    out[i + 1] = even * turn.y + odd * turn.x;
  }
}

/// Sums what the block's threads hold for the same channels; thread d < 128 gets channel d's.
__device__ __forceinline__ float sum_rows(float* shared, const float (&part)[8], int thread) {
  float* line = shared + thread / kLanesARow * kHeadWidth + thread % kLanesARow * 8;
  *reinterpret_cast<float4*>(line) = make_float4(part[0], part[1], part[2], part[3]);
  *reinterpret_cast<float4*>(line + 4) = make_float4(part[4], part[5], part[6], part[7]);
  __syncthreads();
  float sum = 0;
  if (thread < kHeadWidth) {
#pragma unroll
    for (int i = 0; i < kRowsAtOnce; ++i) sum += shared[i * kHeadWidth + thread];
  }
  __syncthreads();
  return sum;
}

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
  const Source source{projections.values + channels + head * kHeadWidth, projections.k_inverse,
                      weights.norm_k + head * kHeadWidth, 3 * channels};
  const int tokens = static_cast<int>(shape.tokens);
  const int count = tokens < kOffsetRows ? tokens : kOffsetRows;
  const int apart = tokens / count;
  float sum[8] = {};
  for (int i = thread / kLanesARow; i < count; i += kRowsAtOnce) {
    float k[8];
    load_row(k, source, shape, angles, i * apart, column);
#pragma unroll
    for (int e = 0; e < 8; ++e) sum[e] += k[e];
  }
  const float total = sum_rows(shared, sum, thread);
  if (thread < kHeadWidth) {
    offsets[head * kHeadWidth + thread] = total * reciprocal(static_cast<float>(count));
  }
}

/// A block of rows of one head, in registers: [row][channel].
struct Rows {
  float values[kRowsAThread][8];
  int row;     // of the thread's first, which stands kRowsAtOnce before the next
  int column;  // of the thread's eight channels
  int tokens;

  __device__ __forceinline__ Rows(const Source& source, const HeadShape& shape, const RotaryAngles& angles,
                                  int block, int thread)
      : row(block * kKeyBlock + thread / kLanesARow),
        column(thread % kLanesARow * 8),
        tokens(static_cast<int>(shape.tokens)) {
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      load_row(values[i], source, shape, angles, inside(i) ? at(i) : tokens - 1, column);
#pragma unroll
      for (int e = 0; e < 8; ++e) values[i][e] = inside(i) ? values[i][e] : 0.0f;
    }
  }
  __device__ __forceinline__ int at(int i) const { return row + i * kRowsAtOnce; }
  __device__ __forceinline__ bool inside(int i) const { return at(i) < tokens; }

  __device__ __forceinline__ void sum(float (&out)[8]) const {
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      out[e] = 0;
#pragma unroll
      for (int i = 0; i < kRowsAThread; ++i) out[e] += values[i][e];
    }
  }

  /// The softmax of each row, rounded and stored over what the row was read from; rows past the last are 0.
  __device__ __forceinline__ void features(Bf16* to, std::int64_t stride) {
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      softmax_row(values[i]);
      if (inside(i)) store_bf16(to + at(i) * stride + column, values[i]);
#pragma unroll
      for (int e = 0; e < 8; ++e) values[i][e] = inside(i) ? round_bf16(values[i][e]) : 0.0f;
    }
  }
};

__global__ void __launch_bounds__(kThreads)
    query_kernel(HeadShape shape, Projections projections, HeadWeights weights, RotaryAngles angles,
                 Heads heads) {
  auto* shared = reinterpret_cast<float*>(shared_memory());
  const int block = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y);
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t stride = 3 * shape.channels();
  Bf16* values = projections.values + head * kHeadWidth;
  Rows q({values, projections.q_inverse, weights.norm_q + head * kHeadWidth, stride}, shape, angles, block,
         thread);
  float part[8];
  q.sum(part);
  const float total = sum_rows(shared, part, thread);
  if (thread < kHeadWidth) {
    heads.q_sums[(head * shape.key_blocks() + block) * kHeadWidth + thread] = total;
  }
#pragma unroll
  for (int i = 0; i < kRowsAThread; ++i) {
    const float scale = int8_scale(lanes_max<kLanesARow>(largest_of(q.values[i])));
    if (!q.inside(i)) continue;
    store_int8(heads.q + (head * shape.tokens + q.at(i)) * kHeadWidth + q.column, q.values[i],
               reciprocal(scale));
    if (q.column == 0) heads.q_scales[head * scale_stride(shape.tokens) + q.at(i)] = scale;
  }
  q.features(values, stride);
}

__global__ void __launch_bounds__(kThreads)
    key_kernel(HeadShape shape, Projections projections, HeadWeights weights, RotaryAngles angles,
               Heads heads) {
  auto* shared = reinterpret_cast<float*>(shared_memory());
  const int block = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y);
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t channels = shape.channels();
  const std::int64_t key_blocks = shape.key_blocks();
  Bf16* values = projections.values + channels + head * kHeadWidth;
  Rows k({values, projections.k_inverse, weights.norm_k + head * kHeadWidth, 3 * channels}, shape, angles,
         block, thread);
  float offset[8];
  load_floats(offset, heads.k_offset + head * kHeadWidth + k.column);
  float smooth[kRowsAThread][8];
  float part[8] = {};
  float largest = 0;
#pragma unroll
  for (int i = 0; i < kRowsAThread; ++i) {
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      smooth[i][e] = k.inside(i) ? k.values[i][e] - offset[e] : 0.0f;
      part[e] += smooth[i][e];
    }
    largest = max_or_nan(largest, largest_of(smooth[i]));
  }
  const float total = sum_rows(shared, part, thread);
  if (thread < kHeadWidth) {
    const int left = k.tokens - block * kKeyBlock;
    const auto count = static_cast<float>(left < kKeyBlock ? left : kKeyBlock);
    heads.k_means[(head * kHeadWidth + thread) * key_blocks + block] = total * reciprocal(count);
  }
  largest = lanes_max<kWarp>(largest);
  if (thread % kWarp == 0) shared[thread / kWarp] = largest;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kThreads / kWarp; ++i) largest = max_or_nan(largest, shared[i]);
  __syncthreads();
  const float scale = int8_scale(largest);
  if (thread == 0) heads.k_scales[head * key_blocks + block] = scale;
  const float factor = reciprocal(scale);
#pragma unroll
  for (int i = 0; i < kRowsAThread; ++i) {
    if (!k.inside(i)) continue;
    store_int8(heads.k + (head * shape.tokens + k.at(i)) * kHeadWidth + k.column, smooth[i], factor);
  }
  k.features(values, 3 * channels);
  k.sum(part);
  const float features = sum_rows(shared, part, thread);
  if (thread < kHeadWidth) heads.feature_sums[(head * key_blocks + block) * kHeadWidth + thread] = features;
}

}  // namespace

void prepare_heads(Queue& queue, const HeadShape& shape, const Projections& projections,
                   const HeadWeights& weights, const RotaryAngles& angles, const Heads& heads) {
  constexpr std::size_t kShared = kRowsAtOnce * kHeadWidth * sizeof(float);
  const auto count = static_cast<unsigned>(shape.heads);
  const Grid grid{dim3(static_cast<unsigned>(shape.key_blocks()), count), kThreads, kShared};
  queue.launch("key_offset", key_offset_kernel, {dim3(count), kThreads, kShared}, shape, projections, weights,
               angles, heads.k_offset);
  queue.launch("prepare_queries", query_kernel, grid, shape, projections, weights, angles, heads);
  queue.launch("prepare_keys", key_kernel, grid, shape, projections, weights, angles, heads);
}

}  // namespace turboclip::cuda
