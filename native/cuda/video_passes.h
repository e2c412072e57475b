// The video decoders' passes over memory: the latent's way in, and the norm before a convolution.
#pragma once

#include <cstdint>

#include "cuda/conv.h"

namespace turboclip::cuda {

/// Pixels [pixels, stored channels] of a frame.
struct Pixels {
  const F16* values;
  std::int64_t count;
  int channels;  // stored: a multiple of 8
};

enum class NormTail { none, silu };

/// out = x / |x| * sqrt(C) * gamma by pixel, and SiLU of it if asked for. gamma [stored channels] holds
/// sqrt(C) already; a length below 1e-12 counts as that (torch.nn.functional.normalize).
void pixel_norm(Queue& queue, const Pixels& x, const float* gamma, NormTail tail, F16* out);

/// Frame `frame` of z [16, frames, pixels] in float32 to [pixels, 16]; if `clamp` is above 0, through
/// clamp * tanh(z / clamp).
void latent_frame(Queue& queue, const float* z, std::int64_t frame, std::int64_t frames, std::int64_t pixels,
                  float clamp, F16* out);

}  // namespace turboclip::cuda
