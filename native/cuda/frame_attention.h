// One-head attention over the pixels of a frame, in the middle of the VAE.
#pragma once

#include <cstdint>

#include "cuda/conv.h"

namespace turboclip::cuda {

struct FrameAttention {
  const F16* x;             // [pixels, channels]: after the norm
  const F16* qk;            // [pixels, 2 channels]: queries, then keys
  const F16* value_weight;  // [channels, channels]
  const float* value_bias;  // [channels]
  std::int64_t pixels;
  int channels;  // stored
  float scale;   // of the scores
};

/// Device memory that frame_attention works in. Scores are kept of a share of the queries at a time.
struct AttentionScratch {
  std::int64_t rows;   // queries at a time
  std::int64_t width;  // pixels, rounded up to 8
  std::int64_t channels;

  AttentionScratch(std::int64_t pixels, std::int64_t stored);
  std::int64_t bytes() const;
};

/// out [pixels, channels] = softmax(scale q k^T) v. scratch: AttentionScratch's bytes, 256-byte aligned.
void frame_attention(Queue& queue, const FrameAttention& attention, unsigned char* scratch, F16* out);

}  // namespace turboclip::cuda
