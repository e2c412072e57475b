#include "engine/nv12.h"

#include <cmath>
#include <vector>

#include "check.h"
#include "cpu/reference.h"
#include "support.h"

namespace turboclip::test {
namespace {

float value_of(int level) { return (static_cast<float>(level) - 127.5f) / 127.5f; }

std::vector<std::uint8_t> flat(int r, int g, int b) {
  std::vector<float> rgb;
  for (int i = 0; i < 4 * 2; ++i) {
    for (const int level : {r, g, b}) rgb.push_back(value_of(level));
  }
  std::vector<std::uint8_t> out(static_cast<std::size_t>(nv12_bytes(2, 4)));
  to_nv12(rgb.data(), 1, 2, 4, out.data());
  return out;
}

TEST(
    "NV12 of plain colours is BT.709's limited range: greys without chroma, primaries where the standard has "
    "them") {
  CHECK(flat(255, 255, 255) ==
        (std::vector<std::uint8_t>{235, 235, 235, 235, 235, 235, 235, 235, 128, 128, 128, 128}));
  CHECK(flat(0, 0, 0) == (std::vector<std::uint8_t>{16, 16, 16, 16, 16, 16, 16, 16, 128, 128, 128, 128}));
  for (int level = 0; level < 256; ++level) {
    CHECK_EQUAL(static_cast<int>(flat(level, level, level)[8]), 128);
    CHECK_EQUAL(static_cast<int>(flat(level, level, level)[9]), 128);
  }
  // ITU-R BT.709-6, 100% colour bars in 8 bits.
  const auto colour = [](const std::vector<std::uint8_t>& frame) {
    return std::vector<int>{frame[0], frame[8], frame[9]};
  };
  CHECK(colour(flat(255, 0, 0)) == (std::vector<int>{63, 102, 240}));
  CHECK(colour(flat(0, 255, 0)) == (std::vector<int>{173, 42, 26}));
  CHECK(colour(flat(0, 0, 255)) == (std::vector<int>{32, 240, 118}));
}

TEST("NV12 is within a level of the conversion in real numbers, with chroma on the left of two columns") {
  const std::int64_t height = 6, width = 10;
  const std::vector<float> rgb = random_values(static_cast<std::size_t>(2 * height * width * 3), 95);
  std::vector<std::uint8_t> out(static_cast<std::size_t>(2 * nv12_bytes(height, width)));
  to_nv12(rgb.data(), 2, height, width, out.data());
  const auto level = [&](std::int64_t frame, std::int64_t row, std::int64_t column, int channel) {
    return static_cast<double>(
        to_level(rgb[static_cast<std::size_t>(((frame * height + row) * width + column) * 3 + channel)]));
  };
  const auto luma = [&](std::int64_t f, std::int64_t r, std::int64_t c) {
    return 0.2126 * level(f, r, c, 0) + 0.7152 * level(f, r, c, 1) + 0.0722 * level(f, r, c, 2);
  };
  for (std::int64_t f = 0; f < 2; ++f) {
    const std::uint8_t* frame = out.data() + f * nv12_bytes(height, width);
    for (std::int64_t r = 0; r < height; ++r) {
      for (std::int64_t c = 0; c < width; ++c) {
        CHECK(std::abs(frame[r * width + c] - (16 + luma(f, r, c) * 219 / 255)) <= 0.51);
        if (r % 2 != 0 || c % 2 != 0) continue;
        double cb = 0, cr = 0;
        for (std::int64_t y = r; y < r + 2; ++y) {
          for (std::int64_t x = -1; x <= 1; ++x) {
            const std::int64_t at = std::max<std::int64_t>(0, c + x);
            const double weight = x == 0 ? 0.25 : 0.125;
            cb += weight * (level(f, y, at, 2) - luma(f, y, at)) / 1.8556;
            cr += weight * (level(f, y, at, 0) - luma(f, y, at)) / 1.5748;
          }
        }
        const std::uint8_t* chroma = frame + height * width + r / 2 * width + c;
        CHECK(std::abs(chroma[0] - (128 + cb * 224 / 255)) <= 0.52);
        CHECK(std::abs(chroma[1] - (128 + cr * 224 / 255)) <= 0.52);
      }
    }
  }
}

TEST("a value's level is the nearest, halves upward, and what is beyond the range is its end") {
  CHECK_EQUAL(static_cast<int>(to_level(-1)), 0);
  CHECK_EQUAL(static_cast<int>(to_level(0)), 128);
  CHECK_EQUAL(static_cast<int>(to_level(1)), 255);
  CHECK_EQUAL(static_cast<int>(to_level(-7)), 0);
  CHECK_EQUAL(static_cast<int>(to_level(1e30f)), 255);
}

}  // namespace
}  // namespace turboclip::test
