// Rows of one head on their way to attention, in registers: half a warp holds the 128 channels of a row.
#pragma once

#include "cuda/numbers.cuh"
#include "cuda/self_attention.h"

namespace turboclip::cuda {

inline constexpr int kHeadThreads = 512;
inline constexpr int kHeadWarps = kHeadThreads / kWarp;
inline constexpr int kLanesARow = kHeadWidth / 8;
inline constexpr int kRowsAtOnce = kHeadThreads / kLanesARow;  // 32
inline constexpr float kLog2E = 1.4426950408889634f;

/// Where a row of tokens stands in the clip's grid.
struct Place {
  int frame, line, column;

  __device__ __forceinline__ Place(const HeadShape& shape, int row) {
    const auto width = static_cast<int>(shape.width);
    const auto height = static_cast<int>(shape.height);
    const int lines = row / width;
    frame = lines / height;
    line = lines - frame * height;
    column = row - lines * width;
  }
  /// The place `step` rows on, without a division: steps are added as places are.
  __device__ __forceinline__ void advance(const Place& step, const HeadShape& shape) {
    column += step.column;
    line += step.line;
    frame += step.frame;
    if (column >= static_cast<int>(shape.width)) {
      column -= static_cast<int>(shape.width);
      ++line;
    }
    if (line >= static_cast<int>(shape.height)) {
      line -= static_cast<int>(shape.height);
      ++frame;
    }
  }
};

/// The rotary angles, cosine and sine, of a row's channels column .. column + 7. Rows past the clip's last
/// get any angles.
struct Turns {
  float2 pairs[4];

  Turns() = default;
  __device__ __forceinline__ Turns(const HeadShape& shape, const RotaryAngles& angles, const Place& place,
                                   int column) {
    const auto frames = static_cast<int>(shape.frames);
    const int time = (place.frame < frames ? place.frame : frames - 1) * kTimePairs;
    const int down = angles.height + place.line * kSpacePairs - kTimePairs;
    const int across = angles.width + place.column * kSpacePairs - (kTimePairs + kSpacePairs);
    const auto axis = [&](int pair) {
      return pair < kTimePairs ? time : pair < kTimePairs + kSpacePairs ? down : across;
    };
    // Four neighbouring pairs are of two axes at most.
    const int pair = column / 2;
    const float2* low = angles.table + (axis(pair) + pair);
    const float2* high = angles.table + (axis(pair + 3) + pair);
    const int end = pair < kTimePairs ? kTimePairs : kTimePairs + kSpacePairs;
    pairs[0] = low[0];
    pairs[1] = (pair < end && pair + 1 >= end ? high : low)[1];
    pairs[2] = (pair < end && pair + 2 >= end ? high : low)[2];
    pairs[3] = high[3];
  }

  /// Eight channels times the norm's weights, turned; still to be multiplied by 1 / rms of the row.
  __device__ __forceinline__ void apply(float (&out)[8], const uint4& raw, const float (&weight)[8]) const {
    unpack_bf16(out, raw);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float even = out[2 * i] * weight[2 * i];
      const float odd = out[2 * i + 1] * weight[2 * i + 1];
      out[2 * i] = even * pairs[i].x - odd * pairs[i].y;
      out[2 * i + 1] = even * pairs[i].y + odd * pairs[i].x;
    }
  }
};

/// Leaves in shared memory, [warp][channel], what each warp's rows sum to; `sum_of_warps` adds them up behind
/// a barrier.
inline constexpr int kSumFloats = kHeadWarps * kHeadWidth;
__device__ __forceinline__ void share_sum(float* shared, float (&part)[8], int thread) {
#pragma unroll
  for (float& value : part) value += __shfl_xor_sync(kAllLanes, value, kLanesARow);
  if (thread % kWarp < kLanesARow) {
    float* line = shared + thread / kWarp * kHeadWidth + thread % kLanesARow * 8;
    *reinterpret_cast<float4*>(line) = make_float4(part[0], part[1], part[2], part[3]);
    *reinterpret_cast<float4*>(line + 4) = make_float4(part[4], part[5], part[6], part[7]);
  }
}
__device__ __forceinline__ float sum_of_warps(const float* shared, int channel) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kHeadWarps; ++i) sum += shared[i * kHeadWidth + channel];
  return sum;
}

/// The softmax over a row's 128 channels of x * scale, in place, x * scale in the exponents of 2.
/// Exponentials need no maximum unless they sum to what float32 cannot hold well.
__device__ __forceinline__ void softmax_row(float (&x)[8], float scale) {
  constexpr float kLeast = 0x1p-100f;
  constexpr float kMost = 0x1p+100f;
  float out[8];
  const auto exponentials = [&](float less) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      out[i] = exp2_fast(fmaf(x[i], scale, -less));
      sum += out[i];
    }
    return lanes_sum<kLanesARow>(sum);
  };
  float sum = exponentials(0);
  if (__any_sync(kAllLanes, !(sum > kLeast && sum < kMost))) {
    float largest = x[0];
#pragma unroll
    for (int i = 1; i < 8; ++i) largest = max_or_nan(largest, x[i]);
    sum = exponentials(lanes_max<kLanesARow>(largest) * scale);
  }
  const float share = reciprocal(sum);
#pragma unroll
  for (int i = 0; i < 8; ++i) x[i] = out[i] * share;
}

__device__ __forceinline__ float largest_of(const float (&x)[8]) {
  float largest = 0;
#pragma unroll
  for (const float value : x) largest = max_or_nan(largest, fabsf(value));
  return largest;
}

}  // namespace turboclip::cuda
