// Frames of features on their way through the VAE, channels last.
#pragma once

#include <cstdint>

#include "cpu/floats.h"

namespace turboclip::cpu {

struct Frames {
  std::int64_t count = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  Floats values;  // [count, height, width, channels]

  Frames() = default;
  Frames(std::int64_t frames, std::int64_t rows, std::int64_t columns, std::int64_t depth)
      : count(frames),
        height(rows),
        width(columns),
        channels(depth),
        values(static_cast<std::size_t>(frames * rows * columns * depth)) {}

  std::int64_t pixels() const { return count * height * width; }
};

}  // namespace turboclip::cpu
