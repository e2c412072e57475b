#include "cpu/linear.h"

#include <algorithm>
#include <string>

#include "engine/text.h"

namespace turboclip::cpu {
namespace {

// A task's block of x (kRowBlock x kDepthBlock, 98 KB) stays in L2 and two panels' blocks (32 KB) in L1 while
// the tiles of the block go over them.
constexpr std::int64_t kRowBlock = 96;
constexpr std::int64_t kDepthBlock = 256;
constexpr std::int64_t kPanelsPerTask = 8;

/// The sums of one task: rows [row, row + rows) and the panels [panel, panel + panels), without bias.
struct Block {
  std::int64_t row;
  std::int64_t rows;
  std::int64_t panel;
  std::int64_t panels;
};

void multiply_block(const Kernels& kernels, const float* x, const LinearWeights& weights, const Block& block,
                    float* sums) {
  const std::int64_t stride = block.panels * kPanel;
  for (std::int64_t k = 0; k < weights.in; k += kDepthBlock) {
    const std::int64_t depth = std::min(kDepthBlock, weights.in - k);
    for (std::int64_t p = 0; p < block.panels; p += kernels.tile_panels) {
      const TilePanels right{weights.panels.data() + ((block.panel + p) * weights.in + k) * kPanel,
                             std::min(kernels.tile_panels, block.panels - p), weights.in * kPanel};
      for (std::int64_t r = 0; r < block.rows; r += kernels.tile_rows) {
        const float* left = x + (block.row + r) * weights.in + k;
        const TileRows rows{&left, 1, depth, weights.in};
        kernels.tile(rows, right, sums + r * stride + p * kPanel, stride,
                     std::min(kernels.tile_rows, block.rows - r), k > 0);
      }
    }
  }
}

/// Splits the product into tasks and hands each finished row piece, bias added, to
/// finish(row, first column, values, count).
template <class Finish>
void multiply(const Context& context, const float* x, std::int64_t rows, const LinearWeights& weights,
              const Finish& finish) {
  const std::int64_t panels = ceil_div(weights.out, kPanel);
  const std::int64_t groups = ceil_div(panels, kPanelsPerTask);
  context.pool.for_each(ceil_div(rows, kRowBlock) * groups, [&](std::int64_t task) {
    Block block{};
    block.row = task / groups * kRowBlock;
    block.rows = std::min(kRowBlock, rows - block.row);
    block.panel = task % groups * kPanelsPerTask;
    block.panels = std::min(kPanelsPerTask, panels - block.panel);
    alignas(64) float sums[kRowBlock * kPanelsPerTask * kPanel];
    multiply_block(context.kernels, x, weights, block, sums);
    const std::int64_t column = block.panel * kPanel;
    const std::int64_t count = std::min(block.panels * kPanel, weights.out - column);
    for (std::int64_t r = 0; r < block.rows; ++r) {
      float* values = sums + r * block.panels * kPanel;
      context.kernels.axpy(values, weights.bias.data() + column, 1.0f, count);
      finish(block.row + r, column, values, count);
    }
  });
}

}  // namespace

LinearWeights pack_linear(const float* weight, std::int64_t out, std::int64_t in,
                          const std::vector<float>& bias) {
  LinearWeights packed;
  packed.out = out;
  packed.in = in;
  const std::int64_t panels = ceil_div(out, kPanel);
  packed.panels.assign(static_cast<std::size_t>(panels * in * kPanel), 0.0f);
  for (std::int64_t o = 0; o < out; ++o) {
    float* panel = packed.panels.data() + o / kPanel * in * kPanel + o % kPanel;
    for (std::int64_t i = 0; i < in; ++i) panel[i * kPanel] = weight[o * in + i];
  }
  packed.bias = bias;
  packed.bias.resize(static_cast<std::size_t>(panels * kPanel), 0.0f);
  return packed;
}

Result<LinearWeights> load_linear(const Checkpoint& checkpoint, const std::string& name, std::int64_t out,
                                  std::int64_t in, Bias bias) {
  const TensorView* view = checkpoint.find(name + ".weight");
  Shape expected{out, in};
  // A 1x1 convolution, or a patch embedding kept as a convolution, is a linear layer with more brackets.
  if (view != nullptr && view->shape.size() > 2) {
    std::int64_t rest = 1;
    for (std::size_t i = 1; i < view->shape.size(); ++i) rest *= view->shape[i];
    if (in < 0 || rest == in) {
      expected = view->shape;
      expected[0] = out;
    }
  }
  Result<Tensor> weight = checkpoint.require_float(name + ".weight", expected);
  if (!weight) return weight.error();
  const std::int64_t rows = weight->shape[0];
  std::vector<float> bias_values;
  if (bias == Bias::required) {
    Result<Tensor> values = checkpoint.require_float(name + ".bias", {rows});
    if (!values) return values.error();
    bias_values = std::move(values->values);
  }
  return pack_linear(weight->data(), rows, element_count(weight->shape) / std::max<std::int64_t>(rows, 1),
                     bias_values);
}

void linear(const Context& context, const float* x, std::int64_t rows, const LinearWeights& weights, float* y,
            Activation activation) {
  multiply(context, x, rows, weights,
           [&](std::int64_t row, std::int64_t column, float* values, std::int64_t count) {
             if (activation == Activation::gelu) context.kernels.gelu(values, count);
             if (activation == Activation::silu) context.kernels.silu(values, count);
             std::copy_n(values, count, y + row * weights.out + column);
           });
}

void linear_add(const Context& context, const float* x, std::int64_t rows, const LinearWeights& weights,
                float* y, const float* gate) {
  multiply(context, x, rows, weights,
           [&](std::int64_t row, std::int64_t column, const float* values, std::int64_t count) {
             float* out = y + row * weights.out + column;
             if (gate == nullptr) return context.kernels.axpy(out, values, 1.0f, count);
             for (std::int64_t i = 0; i < count; ++i) out[i] += gate[column + i] * values[i];
           });
}

}  // namespace turboclip::cpu
