// Between latents and tokens, and the rCM sampler's update. A latent is [channels, T, height, width], a token
// a patch of 1 x 2 x 2 of its cells; tokens are in the order (time, height, width).
#pragma once

#include <cstdint>

#include "cuda/numbers.h"
#include "cuda/queue.h"

namespace turboclip::cuda {

inline constexpr int kLatentChannels = 16;
inline constexpr int kPatchValues = 4;
inline constexpr int kHeadOutputs = kLatentChannels * kPatchValues;

struct LatentShape {
  std::int64_t frames, height, width;  // height and width even

  __host__ __device__ std::int64_t plane() const { return frames * height * width; }
  __host__ __device__ std::int64_t tokens() const { return plane() / kPatchValues; }
};

/// x [16, T, h, w], and image [in_channels - 16, T, h, w] after its channels, as bfloat16 tokens
/// [L, in_channels * 4] ordered (channel, row, column).
void patchify(Queue& queue, const LatentShape& shape, const float* x, const float* image,
              std::int64_t in_channels, Bf16* tokens);
/// The same from the sampler's state, by way of float32.
void patchify(Queue& queue, const LatentShape& shape, const double* x, const float* image,
              std::int64_t in_channels, Bf16* tokens);

/// The head's tokens [L, 64] ordered (row, column, channel), as [16, T, h, w].
void unpatchify(Queue& queue, const LatentShape& shape, const float* tokens, float* v);

/// One step of the sampler, from rectified-flow time `time` to `next`. Lies in device memory, so that one
/// graph serves all steps.
struct SamplerStep {
  double time;
  double next;
  std::uint64_t seed;
  std::uint32_t draw;  // of the fresh noise
  std::uint32_t sde;   // 1 or, for ode, 0
};

/// x = noise of draw 0 times step->time.
void start_sampling(Queue& queue, const LatentShape& shape, const SamplerStep* step, double* x);
/// sde: x = (1 - next) (x - time v) + next * fresh noise; ode: x -= (time - next) v. tokens: the head's.
void advance_sampling(Queue& queue, const LatentShape& shape, const SamplerStep* step, const float* tokens,
                      double* x);

}  // namespace turboclip::cuda
