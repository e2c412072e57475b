// The rCM sampler: one to four steps from noise to a latent. The few-step students of TurboDiffusion are
// trained for these times (https://github.com/thu-ml/TurboDiffusion, rcm).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/backend.h"
#include "engine/error.h"
#include "engine/sampler/settings.h"
#include "engine/tensor.h"

namespace turboclip {

/// The rectified-flow times of the steps, largest first, and a final 0: steps + 1 values. TrigFlow time t is
/// atan(sigma_max), 1.5, 1.4, 1.0 for the first `steps` of them; rectified-flow time is sin t / (cos t + sin
/// t).
std::vector<double> flow_times(int steps, double sigma_max);

/// The nearest bfloat16 value, ties to even; NaN stays NaN.
float round_to_bf16(float value);

/// Noise of the given shape: draw 0 starts the clip, draw i follows step i.
using NoiseSource = std::function<Result<Tensor>(std::uint32_t draw, const Shape& shape)>;

/// The noise of docs/noise.md.
NoiseSource seeded_noise(std::uint64_t seed);

/// Called with the state after each step, counted from 1. May be empty.
using StepObserver = std::function<void(int step, const Tensor& state)>;

struct SamplerHooks {
  StepProgress progress;
  StepObserver observer;
};

/// Runs all steps; `denoiser` must have begun the clip of this shape. Returns the latent [16, T, height,
/// width]. The state is kept in float64 between the steps.
Result<Tensor> sample(Denoiser& denoiser, const ModelLatentShape& shape, const SamplerSettings& settings,
                      const NoiseSource& noise, const CancelFlag& cancel, const SamplerHooks& hooks);

}  // namespace turboclip
