#include "engine/sampler/noise.h"

namespace turboclip {

Tensor gaussian_noise(std::uint64_t seed, std::uint32_t draw, const Shape& shape) {
  Tensor noise(shape);
  for (std::size_t first = 0; first < noise.values.size(); first += 4) {
    const std::array<float, 4> group = gaussian_group(seed, draw, static_cast<std::uint32_t>(first / 4));
    for (std::size_t i = 0; i < 4 && first + i < noise.values.size(); ++i) noise.values[first + i] = group[i];
  }
  return noise;
}

}  // namespace turboclip
