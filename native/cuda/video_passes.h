// The video decoders' passes over memory: the latent's way in, and the norm before a convolution.
#pragma once

#include <cstdint>

#include "cuda/conv_pair.h"

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

/// The norm and SiLU of two frames in turn, as the planes of a pair with the two before them (conv_pair.h):
/// those are in before[0], or zeros if there is none, and before[1], and are overwritten by the two new ones.
inline constexpr int kMostPairChannels = 3072;
struct PairNorm {
  const F16* frames[2];
  std::int64_t count;  // pixels
  int channels;        // stored, at most kMostPairChannels
  F16* before[2];
  bool first;  // before[0] is no frame yet
  F16* planes[kConvPlanes];
};
void pair_norm(Queue& queue, const PairNorm& x, const float* gamma);

/// Frame `frame` of z [16, frames, pixels] in float32 to [pixels, 16]; if `clamp` is above 0, through
/// clamp * tanh(z / clamp).
void latent_frame(Queue& queue, const float* z, std::int64_t frame, std::int64_t frames, std::int64_t pixels,
                  float clamp, F16* out);

}  // namespace turboclip::cuda
