// TurboWan's weights on the device, under the names of the official checkpoints.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/device_array.h"
#include "cuda/gemm_bf16.h"
#include "cuda/gemm_w8a8.h"
#include "engine/backend.h"

namespace turboclip::cuda {

/// A linear layer on INT8; several of the checkpoint's may lie in it side by side.
struct Int8Layer {
  DeviceArray<std::int8_t> values;  // [out, in]
  DeviceArray<float> scales;        // [out / 128, in / 128]
  DeviceArray<float> bias;          // [out]
  std::int64_t out = 0;
  std::int64_t in = 0;

  Int8Weight view() const { return {values.data(), scales.data(), bias.data(), out, in}; }
};

struct Bf16Layer {
  DeviceArray<Bf16> values;  // [out, in]
  DeviceArray<float> bias;   // [out]
  std::int64_t out = 0;
  std::int64_t in = 0;

  Bf16Weight view() const { return {values.data(), bias.data(), out, in}; }
};

struct BlockWeights {
  Int8Layer qkv;                         // [3 C, C]
  Int8Layer o;                           // [C, C]
  DeviceArray<float> norm_q, norm_k;     // [C]
  DeviceArray<float> proj_l, bias_l;     // [128, 128], [128]; empty without SLA
  DeviceArray<float> gain3, shift3;      // [C]: norm3, its weight less 1
  Int8Layer cross_q, cross_kv, cross_o;  // [C, C], [2 C, C], [C, C]
  DeviceArray<float> cross_norm_q, cross_norm_k;
  Int8Layer ffn_in, ffn_out;  // [ffn, C], [C, ffn]
};

struct TransformerWeights {
  DenoiserConfig config;
  Bf16Layer patch_embedding;    // [C, in_channels * 4]
  Bf16Layer text_in, text_out;  // [C, text_width], [C, C]
  std::vector<BlockWeights> blocks;
  Bf16Layer head;  // [64, C]
};

/// The model's sizes, from the tensors' shapes. The first tensor that is missing, of another shape or of a
/// size that the kernels do not take is the error.
Result<DenoiserConfig> read_config(const Checkpoint& checkpoint);

/// Bytes of device memory that a model of these sizes takes.
std::int64_t weight_bytes(const DenoiserConfig& config);

/// Reads the weights of a model of these sizes; float weights of the blocks are quantised as the -quant files
/// have them. The first tensor that is missing or of another shape is the error.
Result<TransformerWeights> load_transformer(Queue& queue, const Checkpoint& checkpoint,
                                            const DenoiserConfig& config);

}  // namespace turboclip::cuda
