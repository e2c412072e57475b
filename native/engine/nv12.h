// A video's pixels as H.264 encoders take them: NV12, BT.709, limited range. In integers, so that every
// backend gives the same bytes.
//
// Y is a value for each pixel, [height, width]; behind it Cb and Cr in turn for each 2 x 2 pixels, [height /
// 2, width]. Chroma is sited as H.264 has it by default: between two rows, on the left one of two columns;
// there it is the mean of both rows and of three columns that weigh 1, 2, 1, the edge's standing for what is
// beyond it.
#pragma once

#include <cstdint>
#include <span>

namespace turboclip {

struct RgbLevels {
  std::int32_t r, g, b;  // 0 to 255, or sums of eight of them
};

namespace nv12 {

// BT.709: Kr 0.2126, Kb 0.0722; 219 levels of luma and 224 of chroma; 16 fractional bits. White is 235
// exactly, and grey has no chroma, since the factors of each sum to 219 / 255 and to 0.
inline constexpr int kShift = 16;
inline constexpr int kSumShift = kShift + 3;  // of eight pixels

constexpr std::uint8_t luma(const RgbLevels& p) {
  return static_cast<std::uint8_t>(
      16 + ((11966 * p.r + 40254 * p.g + 4064 * p.b + (1 << (kShift - 1))) >> kShift));
}
/// Of eight pixels' sums.
constexpr std::uint8_t cb(const RgbLevels& p) {
  return static_cast<std::uint8_t>(
      128 + ((-6596 * p.r - 22188 * p.g + 28784 * p.b + (1 << (kSumShift - 1))) >> kSumShift));
}
constexpr std::uint8_t cr(const RgbLevels& p) {
  return static_cast<std::uint8_t>(
      128 + ((28784 * p.r - 26145 * p.g - 2639 * p.b + (1 << (kSumShift - 1))) >> kSumShift));
}

}  // namespace nv12

/// Bytes of a frame; both sides are even.
constexpr std::int64_t nv12_bytes(std::int64_t height, std::int64_t width) { return height * width * 3 / 2; }

/// rgb [count, height, width, 3] in [-1, 1], as levels floor(127.5 v + 128) within 0 to 255, to `count`
/// frames.
void to_nv12(const float* rgb, std::int64_t count, std::int64_t height, std::int64_t width,
             std::uint8_t* out);

/// The level of a decoded value.
std::uint8_t to_level(float value);

}  // namespace turboclip
