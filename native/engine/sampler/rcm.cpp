#include "engine/sampler/rcm.h"

#include <array>
#include <bit>
#include <cmath>

#include "engine/sampler/noise.h"
#include "engine/text.h"

namespace turboclip {
namespace {

constexpr double kTimestepScale = 1000;

Tensor to_tensor(const std::vector<double>& state, const Shape& shape) {
  Tensor out(shape);
  for (std::size_t i = 0; i < state.size(); ++i) out.values[i] = static_cast<float>(state[i]);
  return out;
}

/// What the model sees of the state.
Tensor model_state(const std::vector<double>& state, const Shape& shape, ModelInput input) {
  Tensor x = to_tensor(state, shape);
  if (input == ModelInput::bf16) {
    for (float& value : x.values) value = round_to_bf16(value);
  }
  return x;
}

double model_timestep(double time, ModelInput input) {
  const double timestep = time * kTimestepScale;
  return input == ModelInput::bf16 ? static_cast<double>(round_to_bf16(static_cast<float>(timestep)))
                                   : timestep;
}

Result<Tensor> draw_noise(const NoiseSource& noise, std::uint32_t draw, const Shape& shape) {
  Result<Tensor> drawn = noise(draw, shape);
  if (drawn && drawn->shape != shape) {
    return Error{ErrorCode::request_invalid, concat("noise ", draw, " has shape ", shape_text(drawn->shape),
                                                    ", expected ", shape_text(shape))};
  }
  return drawn;
}

/// x = (1 - s') * (x - s * v) + s' * fresh
void step_sde(std::vector<double>& x, const Tensor& v, double time, double next, const Tensor* fresh) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double clean = x[i] - time * static_cast<double>(v.values[i]);
    const double noise = fresh == nullptr ? 0.0 : static_cast<double>(fresh->values[i]);
    x[i] = (1 - next) * clean + next * noise;
  }
}

/// x = x - (s - s') * v
void step_ode(std::vector<double>& x, const Tensor& v, double time, double next) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] -= (time - next) * static_cast<double>(v.values[i]);
}

}  // namespace

std::vector<double> flow_times(int steps, double sigma_max) {
  const std::array<double, 4> trig = {std::atan(sigma_max), 1.5, 1.4, 1.0};
  std::vector<double> times;
  for (std::size_t i = 0; i < static_cast<std::size_t>(steps); ++i) {
    times.push_back(std::sin(trig[i]) / (std::cos(trig[i]) + std::sin(trig[i])));
  }
  times.push_back(0);
  return times;
}

float round_to_bf16(float value) {
  if (std::isnan(value)) return value;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u);
}

NoiseSource seeded_noise(std::uint64_t seed) {
  return [seed](std::uint32_t draw, const Shape& shape) -> Result<Tensor> {
    return gaussian_noise(seed, draw, shape);
  };
}

Result<Tensor> sample(Denoiser& denoiser, const ModelLatentShape& shape, const SamplerSettings& settings,
                      const NoiseSource& noise, const CancelFlag& cancel, const SamplerHooks& hooks) {
  const Shape latent{kLatentChannels, shape.frames, shape.height, shape.width};
  const std::vector<double> times = flow_times(settings.steps, settings.sigma_max);
  const Result<Tensor> start = draw_noise(noise, 0, latent);
  if (!start) return start.error();
  std::vector<double> x(start.value().values.begin(), start.value().values.end());
  for (double& value : x) value *= times[0];

  for (int step = 1; step <= settings.steps; ++step) {
    const double time = times[static_cast<std::size_t>(step) - 1];
    const double next = times[static_cast<std::size_t>(step)];
    const Progress progress = [&](double fraction) {
      if (hooks.progress) hooks.progress(step, fraction);
    };
    const Result<Tensor> v =
        denoiser.velocity(model_state(x, latent, settings.model_input),
                          model_timestep(time, settings.model_input), cancel, progress, {});
    if (!v) return v.error();
    if (settings.method == SamplerMethod::ode) {
      step_ode(x, v.value(), time, next);
    } else if (next == 0) {
      step_sde(x, v.value(), time, next, nullptr);
    } else {
      const Result<Tensor> fresh = draw_noise(noise, static_cast<std::uint32_t>(step), latent);
      if (!fresh) return fresh.error();
      step_sde(x, v.value(), time, next, &fresh.value());
    }
    if (hooks.observer) hooks.observer(step, to_tensor(x, latent));
  }
  return to_tensor(x, latent);
}

}  // namespace turboclip
