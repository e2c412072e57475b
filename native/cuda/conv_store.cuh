// What the convolutions' kernels do with their sums, which begin with the bias.
#pragma once

#include "cuda/conv.h"
#include "cuda/simt.cuh"

namespace turboclip::cuda {

/// Stores a pixel's sums of neighbouring channels at first + 8 * 0, first + 8 * 1 and so on.
template <int Pairs>
class ConvStore {
 public:
  __device__ __forceinline__ ConvStore(const ConvWeight& weight, const ConvOutput& out, int first)
      : out_(out), channels_(weight.out), first_(first) {}

  /// pixel: its number in the result; sum(j): a float2.
  template <class SumOf>
  __device__ __forceinline__ void operator()(int pixel, const SumOf& sum) const {
    if (out_.rgb != nullptr) return store_rgb(out_.rgb + static_cast<std::int64_t>(pixel) * 3, sum);
    const std::int64_t place = static_cast<std::int64_t>(pixel) * channels_ + first_;
    // All loads before the first store, which might be of the same place for all that the compiler knows.
    std::uint32_t old[Pairs] = {};
    if (out_.residual != nullptr) {
#pragma unroll
      for (int j = 0; j < Pairs; ++j) {
        if (inside(j)) old[j] = *reinterpret_cast<const std::uint32_t*>(out_.residual + place + 8 * j);
      }
    }
#pragma unroll
    for (int j = 0; j < Pairs; ++j) {
      if (!inside(j)) continue;
      float2 two = sum(j);
      const float2 added = unpack_f16(old[j]);
      two.x += added.x;
      two.y += added.y;
      if (out_.relu) {
        two.x = two.x > 0 ? two.x : 0;
        two.y = two.y > 0 ? two.y : 0;
      }
      *reinterpret_cast<std::uint32_t*>(out_.values + place + 8 * j) = pack_f16(two.x, two.y);
    }
  }

 private:
  __device__ __forceinline__ bool inside(int j) const { return first_ + 8 * j < channels_; }

  template <class SumOf>
  __device__ __forceinline__ void store_rgb(float* to, const SumOf& sum) const {
#pragma unroll
    for (int j = 0; j < Pairs; ++j) {
      const int channel = first_ + 8 * j;
      if (channel < 3) to[channel] = sum(j).x;
      if (channel + 1 < 3) to[channel + 1] = sum(j).y;
    }
  }

  const ConvOutput& out_;
  int channels_;
  int first_;
};

/// The bias of the channels at first + 8 * 0, first + 8 * 1 and so on.
template <int Pairs>
__device__ __forceinline__ void start_sums(float (&sums)[Pairs][4], const float* bias, int first) {
#pragma unroll
  for (int j = 0; j < Pairs; ++j) {
    const float2 two = *reinterpret_cast<const float2*>(bias + first + 8 * j);
    sums[j][0] = sums[j][2] = two.x;
    sums[j][1] = sums[j][3] = two.y;
  }
}

}  // namespace turboclip::cuda
