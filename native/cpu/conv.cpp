#include "cpu/conv.h"

#include <algorithm>
#include <array>
#include <utility>

namespace turboclip::cpu {
namespace {

constexpr std::int64_t kMaxTileRows = 16;
constexpr std::int64_t kPanelsAtOnce = 2;

/// Weights [out][in][rows][side] of a convolution, as checkpoints hold them (`rows` over frames and rows), as
/// those of a product that computes `together` neighbouring pixels: [together][out][rows][side + together -
/// 1] [in].
std::vector<float> spread_taps(const Tensor& weight, std::int64_t rows, std::int64_t side,
                               std::int64_t together) {
  const std::int64_t out = weight.size(0);
  const std::int64_t in = weight.size(1);
  const std::int64_t columns = side + together - 1;
  std::vector<float> spread(static_cast<std::size_t>(together * out * rows * columns * in));
  for (std::int64_t i = 0; i < element_count(weight.shape); ++i) {
    const std::int64_t tap = i % side;
    const std::int64_t row = i / side % rows;
    const std::int64_t channel = i / (side * rows) % in;
    const std::int64_t o = i / (side * rows * in);
    for (std::int64_t p = 0; p < together; ++p) {
      spread[(((p * out + o) * rows + row) * columns + tap + p) * in + channel] = weight.values[i];
    }
  }
  return spread;
}

/// The bias of each of `together` pixels.
std::vector<float> repeat(const std::vector<float>& bias, std::int64_t together) {
  std::vector<float> repeated;
  for (std::int64_t p = 0; p < together; ++p) repeated.insert(repeated.end(), bias.begin(), bias.end());
  return repeated;
}

/// Where a row's outputs go: pixel x to values + x * stride, `channels` of them.
struct RowOut {
  float* values;
  std::int64_t stride;
  std::int64_t channels;
};

/// One row of `pixels` outputs, `together` of which are one row of the product (1 where outputs are not
/// adjacent). left.pointers name the inputs of its first pixel; left.stride leads from one pixel to the next.
void convolve_row(const Kernels& kernels, const TileRows& left, const LinearWeights& weights,
                  std::int64_t pixels, std::int64_t together, const RowOut& out) {
  alignas(64) float sums[kMaxTileRows * kPanelsAtOnce * kPanel];
  std::array<const float*, 9> pointers{};
  TileRows tile = left;
  tile.pointers = pointers.data();
  tile.stride = together * left.stride;
  const std::int64_t step = kernels.tile_rows * together;
  for (std::int64_t column = 0; column < weights.out; column += kPanelsAtOnce * kPanel) {
    const float* bias = weights.bias.data() + column;
    const std::int64_t columns = std::min(kPanelsAtOnce * kPanel, weights.out - column);
    const TilePanels panels{weights.panels.data() + column * weights.in, ceil_div(columns, kPanel),
                            weights.in * kPanel};
    const std::int64_t sums_stride = panels.count * kPanel;
    for (std::int64_t x = 0; x < pixels; x += step) {
      for (std::int64_t s = 0; s < left.count; ++s) pointers[s] = left.pointers[s] + x * left.stride;
      const std::int64_t here = std::min(step, pixels - x);
      kernels.tile(tile, panels, sums, sums_stride, ceil_div(here, together), false);
      for (std::int64_t first = 0; first < here; first += together) {
        float* values = out.values + (x + first) * out.stride + column;
        const std::int64_t count = together == 1 ? columns : std::min(together, here - first) * out.channels;
        const float* row = sums + first / together * sums_stride;
        for (std::int64_t c = 0; c < count; ++c) values[c] = row[c] + bias[c];
      }
    }
  }
}

}  // namespace

Result<CausalConv> CausalConv::load(const Checkpoint& checkpoint, const std::string& name, std::int64_t in) {
  const TensorView* view = checkpoint.find(name + ".weight");
  const std::int64_t side = view != nullptr && view->shape.size() == 5 && view->shape[3] == 1 ? 1 : 3;
  const Result<Tensor> weight = checkpoint.require_float(name + ".weight", {-1, in, 3, side, side});
  if (!weight) return weight.error();
  const Result<Tensor> bias = checkpoint.require_float(name + ".bias", {weight.value().size(0)});
  if (!bias) return bias.error();
  return CausalConv(weight.value(), bias.value().values);
}

CausalConv::CausalConv(const Tensor& weight, const std::vector<float>& bias)
    : in_(weight.size(1)),
      out_(weight.size(0)),
      frames_(weight.size(2)),
      side_(weight.size(3)),
      together_(std::max<std::int64_t>(1, kPanel / std::max<std::int64_t>(1, out_))) {
  const std::int64_t rows = frames_ * side_;
  weights_ = pack_linear(spread_taps(weight, rows, side_, together_).data(), together_ * out_,
                         rows * (side_ + together_ - 1) * in_, repeat(bias, together_));
}

CausalConv::Input CausalConv::make_input(std::int64_t count, std::int64_t height, std::int64_t width) const {
  Input input;
  input.history = frames_ - 1;
  input.count = count;
  input.height = height;
  input.width = width;
  input.side = side_;
  input.channels = in_;
  // Pixels that are computed with the last one may lie past it.
  const std::int64_t past = (together_ - 1) * in_;
  input.values.assign(static_cast<std::size_t>((input.history + count) * input.frame_stride() + past), 0.0f);
  std::copy(history_.begin(), history_.end(), input.values.begin());
  return input;
}

Frames CausalConv::run(const Context& context, Input input) {
  Frames out(input.count, input.height, input.width, out_);
  const std::int64_t border = side_ / 2;
  context.pool.for_each(input.count * input.height, [&](std::int64_t task) {
    const std::int64_t frame = task / input.height;
    const std::int64_t row = task % input.height;
    std::array<const float*, 9> pointers{};
    std::size_t segments = 0;
    for (std::int64_t t = frame - input.history; t <= frame; ++t) {
      for (std::int64_t y = row - border; y <= row + border; ++y) {
        pointers[segments++] = input.frame(t) + y * input.row_stride() - border * input.channels;
      }
    }
    const TileRows left{pointers.data(), static_cast<std::int64_t>(segments),
                        (side_ + together_ - 1) * input.channels, input.channels};
    convolve_row(context.kernels, left, weights_, input.width, together_,
                 {out.values.data() + task * input.width * out_, out_, out_});
  });
  const auto kept = static_cast<std::ptrdiff_t>(input.history * input.frame_stride());
  const auto end = input.values.begin() + (input.history + input.count) * input.frame_stride();
  history_.assign(end - kept, end);
  return out;
}

Result<UpsampleConv> UpsampleConv::load(const Checkpoint& checkpoint, const std::string& name,
                                        std::int64_t in) {
  const Result<Tensor> weight = checkpoint.require_float(name + ".weight", {-1, in, 3, 3});
  if (!weight) return weight.error();
  const Result<Tensor> bias = checkpoint.require_float(name + ".bias", {weight.value().size(0)});
  if (!bias) return bias.error();
  return UpsampleConv(weight.value(), bias.value().values);
}

UpsampleConv::UpsampleConv(const Tensor& weight, const std::vector<float>& bias) {
  const std::int64_t out = weight.size(0);
  const std::int64_t in = weight.size(1);
  for (std::int64_t phase = 0; phase < 4; ++phase) {
    // An output of even parity sees input (-1, 0) through taps (0), (1, 2); of odd parity (0, +1) through
    // taps (0, 1), (2).
    const auto folded = [](std::int64_t parity, std::int64_t tap) { return (tap + 1 - parity) / 2; };
    std::vector<float> sums(static_cast<std::size_t>(out * 4 * in));
    for (std::int64_t i = 0; i < element_count(weight.shape); ++i) {
      const std::int64_t row = folded(phase / 2, i / 3 % 3);
      const std::int64_t column = folded(phase % 2, i % 3);
      const std::int64_t channel = i / 9 % in;
      const std::int64_t o = i / (9 * in);
      sums[((o * 2 + row) * 2 + column) * in + channel] += weight.values[i];
    }
    phases_.push_back(pack_linear(sums.data(), out, 4 * in, bias));
  }
}

std::int64_t UpsampleConv::bytes() const {
  std::int64_t total = 0;
  for (const LinearWeights& phase : phases_) total += phase.bytes();
  return total;
}

Frames UpsampleConv::run(const Context& context, const Frames& x) const {
  // A border of one zero pixel all around, so that no tap needs a test.
  const std::int64_t row_stride = (x.width + 2) * x.channels;
  const std::int64_t frame_stride = (x.height + 2) * row_stride;
  std::vector<float> bordered(static_cast<std::size_t>(x.count * frame_stride));
  context.pool.for_each(x.count * x.height, [&](std::int64_t task) {
    float* to =
        bordered.data() + task / x.height * frame_stride + (task % x.height + 1) * row_stride + x.channels;
    std::copy_n(x.values.data() + task * x.width * x.channels, x.width * x.channels, to);
  });
  Frames out(x.count, 2 * x.height, 2 * x.width, phases_.front().out);
  context.pool.for_each(out.count * out.height, [&](std::int64_t task) {
    const std::int64_t frame = task / out.height;
    const std::int64_t row = task % out.height;
    float* line = out.values.data() + task * out.width * out.channels;
    for (std::int64_t parity = 0; parity < 2; ++parity) {
      // In bordered coordinates the first of the two input rows (columns) is (row - 1 + parity) + 1.
      const float* first =
          bordered.data() + frame * frame_stride + (row / 2 + row % 2) * row_stride + parity * x.channels;
      const std::array<const float*, 2> pointers{first, first + row_stride};
      const TileRows left{pointers.data(), 2, 2 * x.channels, x.channels};
      convolve_row(context.kernels, left, phases_[static_cast<std::size_t>(row % 2 * 2 + parity)], x.width, 1,
                   {line + parity * out.channels, 2 * out.channels, out.channels});
    }
  });
  return out;
}

}  // namespace turboclip::cpu
