// The weights of one of the transformer's blocks, as one piece of memory: so that a block is read, kept and
// copied whole, on the device or in the host's memory.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/gemm_w8a8.h"
#include "engine/backend.h"
#include "engine/thread_pool.h"

namespace turboclip::cuda {

/// Linear layers on INT8; several of the checkpoint's may lie in one side by side.
struct BlockWeights {
  Int8Weight qkv;                // [3 C, C]
  Int8Weight o;                  // [C, C]
  const float *norm_q, *norm_k;  // [C]
  const float *proj_l, *bias_l;  // [128, 128], [128]; nullptr without SLA
  const float *gain3, *shift3;   // [C]: norm3, its weight less 1
  Int8Weight cross_q, cross_o;   // [C, C]
  Int8Weight ffn_in, ffn_out;    // [ffn, C], [C, ffn]
  // What a clip needs once, before its steps.
  Int8Weight cross_kv;                       // [2 C, C]
  const float *cross_norm_q, *cross_norm_k;  // [C]
};

/// Bytes of the two pieces that a block consists of: what every step reads, and what a clip reads once,
/// before them.
struct BlockBytes {
  std::int64_t step = 0;
  std::int64_t once = 0;

  std::int64_t all() const { return step + once; }
};
BlockBytes block_bytes(const DenoiserConfig& config);

/// The weights in pieces that lie at `step` and `once`; what is not looked at may be nullptr.
BlockWeights place_block(const DenoiserConfig& config, unsigned char* step, unsigned char* once);

/// Reads block `index` into `image`, memory of the host of block_bytes().all(): the step's piece, then the
/// other. Float weights are quantised as the -quant files have them. The first tensor that is missing or of
/// another shape is the error. The threads share the copying out among them.
Status read_block(const Checkpoint& checkpoint, const DenoiserConfig& config, std::int64_t index,
                  ThreadPool& threads, unsigned char* image);

}  // namespace turboclip::cuda
