// The VAE's convolutions as implicit GEMM over channels-last frames: three neighbouring pixels of a row are
// one contiguous run of the reduction, so that the tile kernel reads the frames as they lie.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cpu/context.h"
#include "cpu/frames.h"
#include "cpu/linear.h"

namespace turboclip::cpu {

/// A causal 3x3x3 convolution, or a causal (3, 1, 1) one, over a stream of frames: the two frames before
/// those at hand are kept from call to call, zeros at the start of a clip.
class CausalConv {
 public:
  /// Reads `<name>.weight` [out, in, 3, k, k] with k 3 or 1, and `<name>.bias`.
  static Result<CausalConv> load(const Checkpoint& checkpoint, const std::string& name, std::int64_t in);

  std::int64_t in() const { return weights_.in / (3 * side_ * side_); }
  std::int64_t out() const { return weights_.out; }
  std::int64_t bytes() const { return weights_.bytes(); }

  /// Forgets the frames of the last clip.
  void reset() { history_.clear(); }

  /// Where the frames to convolve are written: rows and columns keep a border of side / 2 zeros.
  struct Input {
    Floats values;  // [2 + count, height + 2 (side / 2), width + 2 (side / 2), in]
    std::int64_t count = 0;
    std::int64_t height = 0;
    std::int64_t width = 0;
    std::int64_t side = 0;
    std::int64_t channels = 0;

    /// Pixel (0, 0) of frame f of those at hand, or of one before with f -1 or -2; pixels of a row are
    /// contiguous and rows are row_stride() apart.
    float* frame(std::int64_t f) { return values.data() + offset(f); }
    const float* frame(std::int64_t f) const { return values.data() + offset(f); }
    std::int64_t row_stride() const { return (width + side - 1) * channels; }
    std::int64_t frame_stride() const { return (height + side - 1) * row_stride(); }

   private:
    std::int64_t offset(std::int64_t f) const {
      return (f + 2) * frame_stride() + side / 2 * (row_stride() + channels);
    }
  };
  /// An input of this size with the border zeroed and the history in place; the frames at hand are to be
  /// filled.
  Input make_input(std::int64_t count, std::int64_t height, std::int64_t width) const;

  /// Convolves what make_input() returned, filled in, and keeps its last two frames.
  Frames run(const Context& context, const Input& input);

 private:
  LinearWeights weights_;  // reduction in the order (frame, row, column, channel)
  std::int64_t side_ = 3;
  Floats history_;  // the last two frames of the last input, with their border; empty: zeros
};

/// Nearest-neighbour doubling followed by a 3x3 convolution, as four 2x2 convolutions, one for each parity of
/// the output's row and column, whose weights are sums of the 3x3 ones: the same result with 2.25 times less
/// work.
class UpsampleConv {
 public:
  /// Reads `<name>.weight` [out, in, 3, 3] and `<name>.bias`.
  static Result<UpsampleConv> load(const Checkpoint& checkpoint, const std::string& name, std::int64_t in);

  std::int64_t out() const { return phases_.front().out; }
  std::int64_t bytes() const;
  Frames run(const Context& context, const Frames& x) const;

 private:
  std::vector<LinearWeights>
      phases_;  // by 2 * (row parity) + column parity; reduction (row, column, channel)
};

}  // namespace turboclip::cpu
