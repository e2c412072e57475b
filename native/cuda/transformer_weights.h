// TurboWan's weights on the device but for its blocks (transformer_blocks.h), under the names of the official
// checkpoints.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/device_array.h"
#include "cuda/gemm_bf16.h"
#include "engine/backend.h"

namespace turboclip::cuda {

struct Bf16Layer {
  DeviceArray<Bf16> values;  // [out, in]
  DeviceArray<float> bias;   // [out]
  std::int64_t out = 0;
  std::int64_t in = 0;

  Bf16Weight view() const { return {values.data(), bias.data(), out, in}; }
};

struct TransformerWeights {
  DenoiserConfig config;
  Bf16Layer patch_embedding;    // [C, in_channels * 4]
  Bf16Layer text_in, text_out;  // [C, text_width], [C, C]
  Bf16Layer head;               // [64, C]
};

/// The model's sizes, from the tensors' shapes. The first tensor that is missing, of another shape or of a
/// size that the kernels do not take is the error.
Result<DenoiserConfig> read_config(const Checkpoint& checkpoint);

/// Bytes of device memory that a model of these sizes takes, with all of its blocks there.
std::int64_t weight_bytes(const DenoiserConfig& config);
/// What does not belong to a block.
std::int64_t embedding_bytes(const DenoiserConfig& config);

/// Reads what does not belong to a block. The first tensor that is missing or of another shape is the error.
Result<TransformerWeights> load_transformer(Queue& queue, const Checkpoint& checkpoint,
                                            const DenoiserConfig& config);

}  // namespace turboclip::cuda
