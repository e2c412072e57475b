// Cross-attention to the prompt. Its keys and values are the same at every step: they are prepared once a
// clip.
#pragma once

#include <cstdint>

#include "cuda/gemm_tiles.h"
#include "cuda/numbers.h"
#include "cuda/queue.h"

namespace turboclip::cuda {

/// k and v side by side, [rows, 2 C] bfloat16. The last row counts exp(last_bias) times: it stands for all
/// the rows past the prompt, which are the same.
struct TextKeys {
  Bf16* values;
  std::int64_t rows;
  float last_bias;
};

/// RMS norm of k over its whole width, and the norm weights of both k and q: k = k * inverse * norm_k *
/// norm_q. inverse: [rows]; norms: [C].
void prepare_text_keys(Queue& queue, const TextKeys& keys, std::int64_t heads, const float* inverse,
                       const float* norm_k, const float* norm_q);

/// q [L, C] bfloat16, not yet normed; inverse: [L], 1 / rms of its rows.
struct CrossQueries {
  const Bf16* values;
  const float* inverse;
  std::int64_t tokens;
  std::int64_t heads;
};

/// Dense softmax attention over the text rows, quantised for `o`: y [L, C] INT8, scales [H][scale_stride(L)].
/// wgmma takes prompts of at most 128 rows; longer ones are the portable kernel's everywhere.
void cross_attention(Queue& queue, const CrossQueries& q, const TextKeys& keys, std::int8_t* y,
                     float* y_scales, ChosenAttention tiles = {});

}  // namespace turboclip::cuda
