// Linear layers: y = x W^T + b with what follows them fused in.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/aligned.h"
#include "cpu/context.h"
#include "engine/checkpoint.h"

namespace turboclip::cpu {

/// Weights in panels of kPanel outputs: [ceil(out / kPanel)][in][kPanel], zero past `out`.
struct LinearWeights {
  std::int64_t out = 0;
  std::int64_t in = 0;
  AlignedVector panels;
  std::vector<float> bias;  // [ceil(out / kPanel) * kPanel], zero where there is none

  std::int64_t bytes() const {
    return static_cast<std::int64_t>((panels.size() + bias.size()) * sizeof(float));
  }
};

/// weight: [out, in] row-major; bias: [out] or empty.
LinearWeights pack_linear(const float* weight, std::int64_t out, std::int64_t in,
                          const std::vector<float>& bias);

enum class Bias { required, absent };

/// Reads `<name>.weight` [out, in] (sizes of -1 accept any) and, if required, `<name>.bias`. A weight with
/// trailing dimensions, such as a convolution's, is taken as [out, product of the rest].
Result<LinearWeights> load_linear(const Checkpoint& checkpoint, const std::string& name, std::int64_t out,
                                  std::int64_t in, Bias bias);

enum class Activation { none, gelu, silu };

/// y[rows, out] = activation(x[rows, in] W^T + b), both row-major and dense.
void linear(const Context& context, const float* x, std::int64_t rows, const LinearWeights& weights, float* y,
            Activation activation = Activation::none);

/// y += gate * (x W^T + b): a residual branch's last layer. gate: [out], or nullptr for 1.
void linear_add(const Context& context, const float* x, std::int64_t rows, const LinearWeights& weights,
                float* y, const float* gate);

}  // namespace turboclip::cpu
