// A key block's rows of one head on their way to attention, in registers: half a warp holds the 128 channels
// of a row, normed and turned.
#pragma once

#include "cuda/numbers.cuh"
#include "cuda/self_attention.h"

namespace turboclip::cuda {

inline constexpr int kHeadThreads = 512;
inline constexpr int kLanesARow = kHeadWidth / 8;
inline constexpr int kRowsAtOnce = kHeadThreads / kLanesARow;  // 32
inline constexpr int kRowsAThread = kKeyBlock / kRowsAtOnce;   // 2
inline constexpr float kLog2E = 1.4426950408889634f;

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
inline constexpr int kSumFloats = kHeadThreads / kWarp * kHeadWidth;
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
    for (int i = 0; i < kHeadThreads / kWarp; ++i) sum += shared[i * kHeadWidth + thread];
  }
  return sum;
}

/// A head's values of a key block, as they were read.
inline constexpr int kRawBytes = kKeyBlock * kHeadWidth * static_cast<int>(sizeof(Bf16));

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
      copy_async(raw + i * kHeadThreads, values + (inside(i) ? at(i) : 0) * stride + column,
                 inside(i) ? 16 : 0);
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
      share.turns[i].apply(values[i], raw[i * kHeadThreads], share.inside(i) ? inverse[share.at(i)] : 0.0f,
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

}  // namespace turboclip::cuda
