// What a clip asks of the sampler (rcm.h), and how a sampler tells how far it is.
#pragma once

#include <functional>

namespace turboclip {

/// sde adds fresh noise after every step but the last; ode adds none: sharper, less robust.
enum class SamplerMethod { sde, ode };

/// What the model is given: the reference casts x and the timestep to bfloat16, and the released weights are
/// used so. `exact` is for comparison with traces that were made without the cast.
enum class ModelInput { bf16, exact };

struct SamplerSettings {
  SamplerMethod method = SamplerMethod::sde;
  int steps = 4;          // 1 to 4
  double sigma_max = 80;  // 80 for text to video, 200 for image to video
  ModelInput model_input = ModelInput::bf16;
};

/// How far the steps are: step counts from 1, fraction in [0, 1] is of that step. May be empty.
using StepProgress = std::function<void(int step, double fraction)>;

}  // namespace turboclip
