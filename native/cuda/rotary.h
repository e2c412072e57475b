// The rotary embedding's angles on the device, by axis: a few kilobytes instead of a table of all tokens.
#pragma once

#include <cmath>
#include <vector>

#include "cuda/device_array.h"
#include "cuda/self_attention.h"

namespace turboclip::cuda {

class RotaryTables {
 public:
  /// Angles are computed in float64: position * 10000^(-i / pairs).
  void upload(Queue& queue, const HeadShape& shape) {
    std::vector<float2> turns;
    append(turns, shape.frames, kTimePairs);
    height_ = static_cast<int>(turns.size());
    append(turns, shape.height, kSpacePairs);
    width_ = static_cast<int>(turns.size());
    append(turns, shape.width, kSpacePairs);
    table_.upload(queue, turns);
  }
  static std::int64_t planned_bytes(const HeadShape& shape) {
    return static_cast<std::int64_t>(sizeof(float2)) *
           (shape.frames * kTimePairs + (shape.height + shape.width) * kSpacePairs);
  }
  RotaryAngles view() const { return {table_.data(), height_, width_}; }

 private:
  static void append(std::vector<float2>& turns, std::int64_t positions, int pairs) {
    for (std::int64_t position = 0; position < positions; ++position) {
      for (int i = 0; i < pairs; ++i) {
        const double angle =
            static_cast<double>(position) * std::pow(10'000.0, -static_cast<double>(i) / pairs);
        turns.push_back(
            make_float2(static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))));
      }
    }
  }

  DeviceArray<float2> table_;
  int height_ = 0;
  int width_ = 0;
};

}  // namespace turboclip::cuda
