// A convolution's weights on the device, in the order in which its kernel reads them; the host's threads put
// them into it.
#pragma once

#include <vector>

#include "cuda/conv.h"
#include "cuda/device_array.h"
#include "engine/tensor.h"
#include "engine/thread_pool.h"

namespace turboclip::cuda {

struct PackedConv {
  DeviceArray<F16> values;
  DeviceArray<float> bias;
  ConvWeight shape{};  // its pointers are the arrays'

  std::int64_t bytes() const { return values.bytes() + bias.bytes(); }
};

/// weight: [out, in, frames, k, k] with up to three frames, the last being the present one, and k 1 or 3;
/// bias: [out].
PackedConv pack_conv(Queue& queue, ThreadPool& threads, const Tensor& weight, const std::vector<float>& bias);

/// The weights of a causal 3x3x3 convolution for the planes of two frames (conv_pair.h), as phases of one
/// frame each. weight: [out, in, 3, 3, 3]; bias: [out].
PackedConv pack_pair_conv(Queue& queue, ThreadPool& threads, const Tensor& weight,
                          const std::vector<float>& bias);

/// What of these the clip's first frame needs, which sees zeros before it: a convolution of that frame alone.
ConvWeight first_of_pair(const ConvWeight& pair);

/// Nearest-neighbour doubling of height and width, then a 3x3 convolution, as four 2x2 ones by the parity of
/// the output's row and column, whose weights are sums of the 3x3 ones. weight: [out, in, 3, 3]; bias: [out].
PackedConv pack_doubling_conv(Queue& queue, ThreadPool& threads, const Tensor& weight,
                              const std::vector<float>& bias);

}  // namespace turboclip::cuda
