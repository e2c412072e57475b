// TurboWan's weights as the CPU computes with them, under the names of the official checkpoints.
#pragma once

#include <vector>

#include "cpu/block_linear.h"
#include "cpu/linear.h"
#include "cpu/sla.h"
#include "engine/backend.h"

namespace turboclip::cpu {

inline constexpr std::int64_t kHeadWidth = 128;
inline constexpr std::int64_t kFrequencies = 256;  // of the timestep's sinusoid
inline constexpr std::int64_t kPatchValues = 4;    // a patch is 1 x 2 x 2

struct AttentionWeights {
  BlockLinear q, k, v, o;     // [C, C]
  std::vector<float> norm_q;  // [C]
  std::vector<float> norm_k;  // [C]
};

struct DitBlockWeights {
  std::vector<float> modulation;  // [6, C]
  AttentionWeights self_attn;
  LinearWeights proj_l;            // [128, 128]; empty without SLA
  std::vector<float> norm3_gain;   // [C], weight - 1: the norm adds 1
  std::vector<float> norm3_shift;  // [C]
  AttentionWeights cross_attn;
  BlockLinear ffn_in;   // [ffn, C]
  BlockLinear ffn_out;  // [C, ffn]
};

struct DitWeights {
  LinearWeights patch_embedding;    // [C, in_channels * 4]
  LinearWeights text_in, text_out;  // [C, text_width], [C, C]
  LinearWeights time_in, time_out;  // [C, 256], [C, C]
  LinearWeights time_projection;    // [6 C, C]
  std::vector<DitBlockWeights> blocks;
  std::vector<float> head_modulation;  // [2, C]
  LinearWeights head;                  // [64, C]

  std::int64_t bytes() const;
};

struct DitModel {
  DenoiserConfig config;
  DitWeights weights;
};

/// Reads sizes and weights from the tensors; the first tensor that is missing or of another shape is the
/// error.
Result<DitModel> load_dit_weights(const Checkpoint& checkpoint);

}  // namespace turboclip::cpu
