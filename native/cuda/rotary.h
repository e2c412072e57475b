// The rotary embedding's angles on the device, by axis: a few kilobytes instead of a table of all tokens.
#pragma once

#include <cmath>
#include <vector>

#include "cuda/device_share.h"
#include "cuda/self_attention.h"

namespace turboclip::cuda {

class RotaryTables {
 public:
  /// Angles are computed in float64: position * 10000^(-i / pairs).
  /// In memory of their own.
  void upload(Queue& queue, const HeadShape& shape) {
    time_.allocate(queue, shape.frames * kTimePairs);
    height_.allocate(queue, shape.height * kSpacePairs);
    width_.allocate(queue, shape.width * kSpacePairs);
    fill(queue, shape);
  }
  void fill(Queue& queue, const HeadShape& shape) {
    time_.fill(queue, axis(shape.frames, kTimePairs));
    height_.fill(queue, axis(shape.height, kSpacePairs));
    width_.fill(queue, axis(shape.width, kSpacePairs));
    (void)queue.finish();  // before the host's copies go
  }
  void place(Placing& where, const HeadShape& shape) {
    put(where, time_, shape.frames * kTimePairs);
    put(where, height_, shape.height * kSpacePairs);
    put(where, width_, shape.width * kSpacePairs);
  }
  RotaryAngles view() const { return {time_.data(), height_.data(), width_.data()}; }

 private:
  static std::vector<float2> axis(std::int64_t positions, int pairs) {
    std::vector<float2> turns;
    for (std::int64_t position = 0; position < positions; ++position) {
      for (int i = 0; i < pairs; ++i) {
        const double angle =
            static_cast<double>(position) * std::pow(10'000.0, -static_cast<double>(i) / pairs);
        turns.push_back(
            make_float2(static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))));
      }
    }
    return turns;
  }

  DeviceArray<float2> time_, height_, width_;
};

}  // namespace turboclip::cuda
