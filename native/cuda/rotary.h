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
    table_.allocate(queue, values(shape));
    fill(queue, shape);
  }
  void fill(Queue& queue, const HeadShape& shape) {
    std::vector<float2> turns;
    append(turns, shape.frames, kTimePairs);
    height_ = static_cast<int>(turns.size());
    append(turns, shape.height, kSpacePairs);
    width_ = static_cast<int>(turns.size());
    append(turns, shape.width, kSpacePairs);
    table_.fill(queue, turns);
    (void)queue.finish();  // before the host's copy goes
  }
  void place(Placing& where, const HeadShape& shape) { put(where, table_, values(shape)); }
  RotaryAngles view() const { return {table_.data(), height_, width_}; }

 private:
  static std::int64_t values(const HeadShape& shape) {
    return shape.frames * kTimePairs + (shape.height + shape.width) * kSpacePairs;
  }
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
