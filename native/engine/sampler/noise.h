// Gaussian noise that is the same, bit for bit, on every machine and backend. docs/noise.md is its definition
// and holds sample values.
#pragma once

#include <cstdint>

#include "engine/sampler/gaussian.h"
#include "engine/tensor.h"

namespace turboclip {

/// A whole tensor of independent standard normal values; elements are counted in row-major order. At most
/// 2^34 elements, which is far above any latent.
Tensor gaussian_noise(std::uint64_t seed, std::uint32_t draw, const Shape& shape);

}  // namespace turboclip
