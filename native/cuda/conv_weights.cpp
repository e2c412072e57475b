#include "cuda/conv_weights.h"

#include <algorithm>

#include "cuda/half.h"

namespace turboclip::cuda {
namespace {

/// Columns of a tile: those that leave the fewest without a channel, the wider ones if equal.
int tile_columns(int out) {
  if (out <= 16) return 16;
  return ceil_div(out, 64) * 64 < ceil_div(out, 96) * 96 ? 64 : 96;
}

/// Weights by (phase, output, input, frame, row, column), in the kernel's order.
class Packing {
 public:
  Packing(const Queue& queue, const Tensor& weight, int phases, int frames, int side) {
    shape_.out = stored_channels(weight.size(0));
    shape_.channels = stored_channels(weight.size(1));
    shape_.columns = tile_columns(shape_.out);
    shape_.column_blocks = static_cast<int>(ceil_div(shape_.out, shape_.columns));
    shape_.phases = phases;
    shape_.frames = frames;
    shape_.down = side;
    shape_.across = side;
    slices_ = ceil_div(shape_.channels, kConvDepth);
    count_ = phases * padded_out() * frames * slices_ * side * side * kConvDepth;
    if (!queue.counting()) values_.resize(static_cast<std::size_t>(count_));
  }

  float& at(std::int64_t phase, std::int64_t out, std::int64_t in, std::int64_t frame, std::int64_t row,
            std::int64_t column) {
    std::int64_t place = phase * shape_.column_blocks + out / shape_.columns;
    place = place * shape_.frames + frame;
    place = place * slices_ + in / kConvDepth;
    place = place * shape_.down + row;
    place = place * shape_.across + column;
    place = place * shape_.columns + out % shape_.columns;
    // Chunks of 8 values are swizzled as the kernels want rows of 64 bytes in shared memory (conv.cu).
    const std::int64_t chunk = in % kConvDepth / 8 ^ (out % shape_.columns / 2 & 3);
    return values_[static_cast<std::size_t>(place * kConvDepth + chunk * 8 + in % 8)];
  }

  PackedConv upload(Queue& queue, const std::vector<float>& bias) {
    PackedConv packed;
    packed.shape = shape_;
    if (queue.counting()) {
      packed.values.allocate(queue, count_);
      packed.bias.allocate(queue, padded_out());
      return packed;
    }
    std::vector<F16> halves(values_.size());
    std::transform(values_.begin(), values_.end(), halves.begin(), to_f16);
    std::vector<float> padded(bias);
    padded.resize(static_cast<std::size_t>(padded_out()));
    packed.values.upload(queue, halves);
    packed.bias.upload(queue, padded);
    (void)queue.finish();  // before the host's copies go
    packed.shape.values = packed.values.data();
    packed.shape.bias = packed.bias.data();
    return packed;
  }

 private:
  std::int64_t padded_out() const { return static_cast<std::int64_t>(shape_.column_blocks) * shape_.columns; }

  ConvWeight shape_{};
  std::int64_t slices_ = 0;  // of 32 input channels
  std::int64_t count_ = 0;
  std::vector<float> values_;
};

}  // namespace

PackedConv pack_conv(Queue& queue, const Tensor& weight, const std::vector<float>& bias) {
  const std::int64_t frames = weight.size(2);
  const std::int64_t rows = weight.size(3);
  const std::int64_t columns = weight.size(4);
  Packing packing(queue, weight, 1, static_cast<int>(frames), static_cast<int>(rows));
  for (std::int64_t i = 0; i < element_count(weight.shape) && !queue.counting(); ++i) {
    const std::int64_t pair = i / (columns * rows * frames);
    packing.at(0, pair / weight.size(1), pair % weight.size(1), i / (columns * rows) % frames,
               i / columns % rows, i % columns) = weight.values[static_cast<std::size_t>(i)];
  }
  return packing.upload(queue, bias);
}

PackedConv pack_pair_conv(Queue& queue, const Tensor& weight, const std::vector<float>& bias) {
  const std::int64_t frames = weight.size(2);
  const std::int64_t taps = weight.size(3) * weight.size(4);
  Packing packing(queue, weight, kConvPlanes, 1, static_cast<int>(weight.size(3)));
  for (std::int64_t pair = 0; pair < weight.size(0) * weight.size(1) && !queue.counting(); ++pair) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const float* w = weight.data() + pair * frames * taps + tap;
      const float outer = w[0] + w[2 * taps];
      const float middle = w[taps];
      const float planes[kConvPlanes] = {(outer + middle) / 2, (outer - middle) / 2, w[0], w[2 * taps]};
      for (std::int64_t plane = 0; plane < kConvPlanes; ++plane) {
        packing.at(plane, pair / weight.size(1), pair % weight.size(1), 0, tap / weight.size(4),
                   tap % weight.size(4)) = planes[plane];
      }
    }
  }
  return packing.upload(queue, bias);
}

ConvWeight first_of_pair(const ConvWeight& pair) {
  ConvWeight first = pair;
  const std::int64_t plane_values = ceil_div(pair.channels, kConvDepth) * kConvDepth * pair.down *
                                    pair.across * pair.columns * pair.column_blocks;
  first.values += (kConvPlanes - 1) * plane_values;
  first.phases = 1;
  return first;
}

PackedConv pack_doubling_conv(Queue& queue, const Tensor& weight, const std::vector<float>& bias) {
  Packing packing(queue, weight, kConvPhases, 1, 2);
  // An output of even parity sees input (-1, 0) through taps (0), (1, 2); of odd parity (0, +1) through taps
  // (0, 1), (2).
  const auto folded = [](std::int64_t parity, std::int64_t tap) { return (tap + 1 - parity) / 2; };
  for (std::int64_t i = 0; i < element_count(weight.shape) && !queue.counting(); ++i) {
    const std::int64_t pair = i / 9;
    for (std::int64_t phase = 0; phase < kConvPhases; ++phase) {
      packing.at(phase, pair / weight.size(1), pair % weight.size(1), 0, folded(phase / 2, i / 3 % 3),
                 folded(phase % 2, i % 3)) += weight.values[static_cast<std::size_t>(i)];
    }
  }
  return packing.upload(queue, bias);
}

}  // namespace turboclip::cuda
