#include "cpu/conv.h"

#include <algorithm>
#include <array>
#include <utility>

namespace turboclip::cpu {
namespace {

constexpr std::int64_t kMaxTileRows = 12;
constexpr std::int64_t kMaxTilePanels = 2;
constexpr std::int64_t kHistory = 2;

/// Weights [out][in][taps], as checkpoints hold them, in the order [out][taps][in] of the reduction.
std::vector<float> taps_first(const Tensor& weight, std::int64_t out, std::int64_t in, std::int64_t taps) {
  std::vector<float> ordered(weight.values.size());
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t i = 0; i < in; ++i) {
      for (std::int64_t t = 0; t < taps; ++t) {
        ordered[(o * taps + t) * in + i] = weight.values[(o * in + i) * taps + t];
      }
    }
  }
  return ordered;
}

/// One row of output pixels: left.pointers name the inputs of its first pixel; pixel_stride and out_stride
/// lead from one pixel to the next.
void convolve_row(const Kernels& kernels, const TileRows& left, const LinearWeights& weights,
                  std::int64_t pixels, float* out, std::int64_t out_stride) {
  alignas(64) float sums[kMaxTileRows * kMaxTilePanels * kPanel];
  std::array<const float*, 9> pointers{};
  TileRows tile = left;
  tile.pointers = pointers.data();
  const std::int64_t most = kernels.tile_panels * kPanel;
  for (std::int64_t column = 0; column < weights.out; column += most) {
    const std::int64_t columns = std::min(most, weights.out - column);
    const TilePanels right{weights.panels.data() + column * weights.in, ceil_div(columns, kPanel),
                           weights.in * kPanel};
    const std::int64_t stride = right.count * kPanel;
    const float* bias = weights.bias.data() + column;
    for (std::int64_t x = 0; x < pixels; x += kernels.tile_rows) {
      for (std::int64_t s = 0; s < left.count; ++s) pointers[s] = left.pointers[s] + x * left.stride;
      const std::int64_t rows = std::min(kernels.tile_rows, pixels - x);
      kernels.tile(tile, right, sums, stride, rows, false);
      for (std::int64_t r = 0; r < rows; ++r) {
        float* pixel = out + (x + r) * out_stride + column;
        for (std::int64_t c = 0; c < columns; ++c) pixel[c] = sums[r * stride + c] + bias[c];
      }
    }
  }
}

}  // namespace

Result<CausalConv> CausalConv::load(const Checkpoint& checkpoint, const std::string& name, std::int64_t in) {
  CausalConv conv;
  const TensorView* view = checkpoint.find(name + ".weight");
  if (view != nullptr && view->shape.size() == 5 && view->shape[3] == 1) conv.side_ = 1;
  const Result<Tensor> weight =
      checkpoint.require_float(name + ".weight", {-1, in, 3, conv.side_, conv.side_});
  if (!weight) return weight.error();
  const std::int64_t out = weight.value().size(0);
  const Result<Tensor> bias = checkpoint.require_float(name + ".bias", {out});
  if (!bias) return bias.error();
  const std::int64_t taps = 3 * conv.side_ * conv.side_;
  conv.weights_ =
      pack_linear(taps_first(weight.value(), out, in, taps).data(), out, taps * in, bias.value().values);
  return conv;
}

CausalConv::Input CausalConv::make_input(std::int64_t count, std::int64_t height, std::int64_t width) const {
  Input input;
  input.count = count;
  input.height = height;
  input.width = width;
  input.side = side_;
  input.channels = in();
  input.values.resize(static_cast<std::size_t>((kHistory + count) * input.frame_stride()));
  float* first = input.values.data();
  if (history_.empty()) {
    std::fill_n(first, kHistory * input.frame_stride(), 0.0f);
  } else {
    std::copy(history_.begin(), history_.end(), first);
  }
  const std::int64_t border = side_ / 2;
  const std::int64_t edge = border * (input.row_stride() + input.channels);
  for (std::int64_t f = 0; f < count; ++f) {
    float* frame = input.frame(f);
    // Above the frame and left of its first row; then right of each row and left of the next, which adjoin;
    // then below.
    std::fill_n(frame - edge, edge, 0.0f);
    for (std::int64_t row = 0; row < height; ++row) {
      std::fill_n(frame + row * input.row_stride() + width * input.channels, 2 * border * input.channels,
                  0.0f);
    }
    std::fill_n(frame + height * input.row_stride() - border * input.channels, border * input.row_stride(),
                0.0f);
  }
  return input;
}

Frames CausalConv::run(const Context& context, const Input& input) {
  Frames out(input.count, input.height, input.width, weights_.out);
  const std::int64_t border = side_ / 2;
  context.pool.for_each(input.count * input.height, [&](std::int64_t task) {
    const std::int64_t frame = task / input.height;
    const std::int64_t row = task % input.height;
    std::array<const float*, 9> pointers{};
    std::size_t segments = 0;
    for (std::int64_t t = frame - kHistory; t <= frame; ++t) {
      for (std::int64_t y = row - border; y <= row + border; ++y) {
        pointers[segments++] = input.frame(t) + y * input.row_stride() - border * input.channels;
      }
    }
    const TileRows left{pointers.data(), static_cast<std::int64_t>(segments), side_ * input.channels,
                        input.channels};
    convolve_row(context.kernels, left, weights_, input.width,
                 out.values.data() + task * input.width * out.channels, out.channels);
  });
  const auto kept = static_cast<std::ptrdiff_t>(kHistory * input.frame_stride());
  history_.assign(input.values.end() - kept, input.values.end());
  return out;
}

Result<UpsampleConv> UpsampleConv::load(const Checkpoint& checkpoint, const std::string& name,
                                        std::int64_t in) {
  const Result<Tensor> weight = checkpoint.require_float(name + ".weight", {-1, in, 3, 3});
  if (!weight) return weight.error();
  const std::int64_t out = weight.value().size(0);
  const Result<Tensor> bias = checkpoint.require_float(name + ".bias", {out});
  if (!bias) return bias.error();
  UpsampleConv conv;
  for (std::int64_t phase = 0; phase < 4; ++phase) {
    // An output of even parity sees input (-1, 0) through taps (0), (1, 2); of odd parity (0, +1) through
    // taps (0, 1), (2).
    const auto folded = [](std::int64_t parity, std::int64_t tap) { return (tap + 1 - parity) / 2; };
    std::vector<float> sums(static_cast<std::size_t>(out * 4 * in));
    for (std::int64_t i = 0; i < element_count(weight.value().shape); ++i) {
      const std::int64_t row = folded(phase / 2, i / 3 % 3);
      const std::int64_t column = folded(phase % 2, i % 3);
      const std::int64_t channel = i / 9 % in;
      const std::int64_t o = i / (9 * in);
      sums[((o * 2 + row) * 2 + column) * in + channel] += weight.value().values[i];
    }
    conv.phases_.push_back(pack_linear(sums.data(), out, 4 * in, bias.value().values));
  }
  return conv;
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
      convolve_row(context.kernels, left, phases_[static_cast<std::size_t>(row % 2 * 2 + parity)], x.width,
                   line + parity * out.channels, 2 * out.channels);
    }
  });
  return out;
}

}  // namespace turboclip::cpu
