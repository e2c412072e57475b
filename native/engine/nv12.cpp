#include "engine/nv12.h"

#include <algorithm>
#include <cmath>

namespace turboclip {
namespace {

/// Sums over the pixels that a chroma sample stands for, which weigh 8 together.
RgbLevels around(const float* rgb, std::int64_t width, std::int64_t row, std::int64_t column) {
  const auto values = [&](std::int64_t r, std::int64_t c) { return rgb + ((row + r) * width + c) * 3; };
  const std::int64_t left = std::max<std::int64_t>(0, column - 1);
  std::int32_t sums[3] = {0, 0, 0};
  for (std::int64_t r = 0; r < 2; ++r) {
    for (int i = 0; i < 3; ++i) {
      sums[i] += to_level(values(r, left)[i]) + 2 * to_level(values(r, column)[i]) +
                 to_level(values(r, column + 1)[i]);
    }
  }
  return {sums[0], sums[1], sums[2]};
}

void frame_to_nv12(const float* rgb, std::int64_t height, std::int64_t width, std::uint8_t* out) {
  for (std::int64_t i = 0; i < height * width; ++i) {
    const float* p = rgb + 3 * i;
    out[i] = nv12::luma({to_level(p[0]), to_level(p[1]), to_level(p[2])});
  }
  std::uint8_t* chroma = out + height * width;
  for (std::int64_t row = 0; row < height; row += 2) {
    for (std::int64_t column = 0; column < width; column += 2) {
      const RgbLevels sums = around(rgb, width, row, column);
      *chroma++ = nv12::cb(sums);
      *chroma++ = nv12::cr(sums);
    }
  }
}

}  // namespace

std::uint8_t to_level(float value) {
  return static_cast<std::uint8_t>(std::clamp(std::floor(value * 127.5f + 128.0f), 0.0f, 255.0f));
}

void to_nv12(const float* rgb, std::int64_t count, std::int64_t height, std::int64_t width,
             std::uint8_t* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    frame_to_nv12(rgb + i * height * width * 3, height, width, out + i * nv12_bytes(height, width));
  }
}

}  // namespace turboclip
