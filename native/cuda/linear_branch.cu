// The linear branch's state: the ranges of rows that f(k)^T v was summed over, added up, times proj_l.
#include "cuda/numbers.cuh"
#include "cuda/self_attention.h"

namespace turboclip::cuda {
namespace {

constexpr int kFeatures = 8;  // of a block
constexpr int kQuarters = 4;  // of the ranges, or of a row of proj_l's inputs: each has a thread a channel
constexpr int kThreads = kQuarters * kHeadWidth;
constexpr int kSharedFloats = kQuarters * kHeadWidth * kFeatures;

__device__ __forceinline__ void store_floats(float* to, const float (&from)[kFeatures]) {
#pragma unroll
  for (int d = 0; d < kFeatures; d += 4) {
    *reinterpret_cast<float4*>(to + d) = make_float4(from[d], from[d + 1], from[d + 2], from[d + 3]);
  }
}

__global__ void __launch_bounds__(kThreads) fold_kernel(int parts, const float* proj_l, LinearState state) {
  auto* shared = reinterpret_cast<float*>(shared_memory());  // [quarter][channel][feature]
  const int thread = static_cast<int>(threadIdx.x);
  const int channel = thread % kHeadWidth;
  const int quarter = thread / kHeadWidth;
  const int first = static_cast<int>(blockIdx.x) * kFeatures;
  const int head = static_cast<int>(blockIdx.y);
  const float* part = state.parts + static_cast<std::int64_t>(head) * parts * kPartFloats;
  float total[kFeatures] = {};
#pragma unroll 8
  for (int i = quarter; i < parts; i += kQuarters) {
    const float* from = part + static_cast<std::int64_t>(i) * kPartFloats + first * kHeadWidth + channel;
#pragma unroll
    for (int d = 0; d < kFeatures; ++d) total[d] += from[d * kHeadWidth];
  }
  // Adds up what the quarters hold: thread t gets channel t's and leaves it in the first quarter's place.
  float* line = shared + thread * kFeatures;
  const auto add_quarters = [&](float(&own)[kFeatures]) {
    if (quarter > 0) store_floats(line, own);
    __syncthreads();
    if (quarter > 0) return;
#pragma unroll
    for (int i = 1; i < kQuarters; ++i) {
      float other[kFeatures];
      load_floats(other, line + i * kHeadWidth * kFeatures);
#pragma unroll
      for (int d = 0; d < kFeatures; ++d) own[d] += other[d];
    }
  };
  add_quarters(total);
  if (quarter == 0) store_floats(line, total);
  __syncthreads();
  // A thread's output, over a quarter of the channels.
  float folded[kFeatures] = {};
  constexpr int kChannels = kHeadWidth / kQuarters;
  const float* weights = proj_l + channel * kHeadWidth + quarter * kChannels;
#pragma unroll
  for (int c = 0; c < kChannels; c += 4) {
    const float4 weight = *reinterpret_cast<const float4*>(weights + c);
    const float four[4] = {weight.x, weight.y, weight.z, weight.w};
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      float sums[kFeatures];
      load_floats(sums, shared + (quarter * kChannels + c + e) * kFeatures);
#pragma unroll
      for (int d = 0; d < kFeatures; ++d) folded[d] = fmaf(sums[d], four[e], folded[d]);
    }
  }
  __syncthreads();
  add_quarters(folded);
  if (quarter == 0) {
    store_bf16(state.matrix + (head * kHeadWidth + channel) * kHeadWidth + first, folded);
  } else if (quarter == 1 && channel < kFeatures) {
    float sum = 0;
#pragma unroll 8
    for (int i = 0; i < parts; ++i) {
      sum += part[static_cast<std::int64_t>(i) * kPartFloats + kHeadWidth * kHeadWidth + first + channel];
    }
    state.sums[head * kHeadWidth + first + channel] = sum;
  }
}

}  // namespace

void fold_linear_state(Queue& queue, const HeadShape& shape, const float* proj_l, const LinearState& state) {
  queue.launch("fold_linear_state", fold_kernel,
               {dim3(kHeadWidth / kFeatures, static_cast<unsigned>(shape.heads)), kThreads,
                kSharedFloats * sizeof(float)},
               static_cast<int>(linear_parts(shape.tokens)), proj_l, state);
}

}  // namespace turboclip::cuda
