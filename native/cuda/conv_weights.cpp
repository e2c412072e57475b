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

  /// values_of(pair, values) is asked for the [phases, frames, side, side] values of each pair of channels
  /// (output * inputs + input), on any thread.
  template <class ValuesOf>
  void fill(ThreadPool& threads, const Tensor& weight, const ValuesOf& values_of) {
    if (values_.empty()) return;  // counted
    const std::int64_t in = weight.size(1);
    const std::int64_t taps = shape_.down * shape_.across;
    // One after the other a channel's values lie a tile's width apart, frames and phases further.
    const std::int64_t tap_step = shape_.columns * kConvDepth;
    const std::int64_t frame_step = slices_ * taps * tap_step;
    const std::int64_t phase_step = shape_.column_blocks * shape_.frames * frame_step;
    threads.for_each(weight.size(0), [&](std::int64_t out) {
      float values[kMostValues];
      const std::int64_t column = out % shape_.columns;
      const std::int64_t tile = out / shape_.columns * shape_.frames * frame_step + column * kConvDepth;
      for (std::int64_t i = 0; i < in; ++i) {
        values_of(out * in + i, values);
        // Chunks of 8 values are swizzled as the kernels want rows of 64 bytes in shared memory (conv.cu).
        const std::int64_t chunk = i % kConvDepth / 8 ^ (column / 2 & 3);
        F16* first = values_.data() + tile + i / kConvDepth * taps * tap_step + chunk * 8 + i % 8;
        const float* value = values;
        for (std::int64_t phase = 0; phase < shape_.phases; ++phase) {
          for (std::int64_t frame = 0; frame < shape_.frames; ++frame) {
            F16* to = first + phase * phase_step + frame * frame_step;
            for (std::int64_t tap = 0; tap < taps; ++tap) to[tap * tap_step] = to_f16(*value++);
          }
        }
      }
    });
  }

  PackedConv upload(Queue& queue, const std::vector<float>& bias) {
    PackedConv packed;
    packed.shape = shape_;
    if (queue.counting()) {
      packed.values.allocate(queue, count_);
      packed.bias.allocate(queue, padded_out());
      return packed;
    }
    std::vector<float> padded(bias);
    padded.resize(static_cast<std::size_t>(padded_out()));
    packed.values.upload(queue, values_);
    packed.bias.upload(queue, padded);
    (void)queue.finish();  // before the host's copies go
    packed.shape.values = packed.values.data();
    packed.shape.bias = packed.bias.data();
    return packed;
  }

 private:
  /// Of a pair of channels: 3 frames of 3 x 3, or 4 planes of them.
  static constexpr std::int64_t kMostValues = kConvPlanes * 9;

  std::int64_t padded_out() const { return static_cast<std::int64_t>(shape_.column_blocks) * shape_.columns; }

  ConvWeight shape_{};
  std::int64_t slices_ = 0;  // of 32 input channels
  std::int64_t count_ = 0;
  std::vector<F16> values_;
};

}  // namespace

PackedConv pack_conv(Queue& queue, ThreadPool& threads, const Tensor& weight,
                     const std::vector<float>& bias) {
  const std::int64_t frames = weight.size(2);
  const std::int64_t side = weight.size(3);
  Packing packing(queue, weight, 1, static_cast<int>(frames), static_cast<int>(side));
  packing.fill(threads, weight, [&](std::int64_t pair, float* values) {
    const std::int64_t count = frames * side * side;
    std::copy_n(weight.data() + pair * count, count, values);
  });
  return packing.upload(queue, bias);
}

PackedConv pack_pair_conv(Queue& queue, ThreadPool& threads, const Tensor& weight,
                          const std::vector<float>& bias) {
  const std::int64_t frames = weight.size(2);
  const std::int64_t taps = weight.size(3) * weight.size(4);
  Packing packing(queue, weight, kConvPlanes, 1, static_cast<int>(weight.size(3)));
  packing.fill(threads, weight, [&](std::int64_t pair, float* values) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const float* w = weight.data() + pair * frames * taps + tap;
      const float outer = w[0] + w[2 * taps];
      const float middle = w[taps];
      values[tap] = (outer + middle) / 2;
      values[taps + tap] = (outer - middle) / 2;
      values[2 * taps + tap] = w[0];
      values[3 * taps + tap] = w[2 * taps];
    }
  });
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

PackedConv pack_doubling_conv(Queue& queue, ThreadPool& threads, const Tensor& weight,
                              const std::vector<float>& bias) {
  constexpr int kSide = 2;
  Packing packing(queue, weight, kConvPhases, 1, kSide);
  // An output of even parity sees input (-1, 0) through taps (0), (1, 2); of odd parity (0, +1) through taps
  // (0, 1), (2).
  const auto folded = [](std::int64_t parity, std::int64_t tap) { return (tap + 1 - parity) / 2; };
  packing.fill(threads, weight, [&](std::int64_t pair, float* values) {
    std::fill_n(values, kConvPhases * kSide * kSide, 0.0f);
    const float* w = weight.data() + pair * 9;
    for (std::int64_t tap = 0; tap < 9; ++tap) {
      for (std::int64_t phase = 0; phase < kConvPhases; ++phase) {
        const std::int64_t row = phase * kSide + folded(phase / 2, tap / 3);
        values[row * kSide + folded(phase % 2, tap % 3)] += w[tap];
      }
    }
  });
  return packing.upload(queue, bias);
}

}  // namespace turboclip::cuda
