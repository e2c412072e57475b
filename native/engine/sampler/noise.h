// Gaussian noise that is the same, bit for bit, on every machine and backend. docs/noise.md is its definition
// and holds sample values.
#pragma once

#include <array>
#include <cstdint>

#include "engine/tensor.h"

namespace turboclip {

/// Elements 4 * group .. 4 * group + 3 of draw number `draw` under `seed`.
std::array<float, 4> gaussian_group(std::uint64_t seed, std::uint32_t draw, std::uint32_t group);

/// A whole tensor of independent standard normal values; elements are counted in row-major order. At most
/// 2^34 elements, which is far above any latent.
Tensor gaussian_noise(std::uint64_t seed, std::uint32_t draw, const Shape& shape);

}  // namespace turboclip
