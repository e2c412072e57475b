#include "cpu/linear_int8.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "engine/text.h"

namespace turboclip::cpu {
namespace {

static_assert(kInt8Slice == kInt8Block);

// A task makes as many outputs as share a weight scale: their 8 panels of one slice (16 KB) and a tile of
// rows stay in L1 while all the tiles of the row block go over them.
constexpr std::int64_t kRowBlock = 96;
constexpr std::int64_t kPanelsPerTask = kInt8Block / kPanel;
constexpr std::int64_t kTaskOutputs = kPanelsPerTask * kPanel;

/// The sums of one task: rows [row, row + rows), panels [panel, panel + panels); sums has row stride
/// kTaskOutputs and is zero before.
struct Block {
  std::int64_t row;
  std::int64_t rows;
  std::int64_t panel;
  std::int64_t panels;
};

void multiply_block(const Int8Kernel& kernel, const Int8Rows& x, const Int8LinearWeights& weights,
                    const Block& block, float* sums) {
  const float* weight_scales = weights.scales.data() + block.panel / kPanelsPerTask * weights.slices;
  for (std::int64_t s = 0; s < weights.slices; ++s) {
    for (std::int64_t p = 0; p < block.panels; ++p) {
      const std::int8_t* panel =
          weights.panels.data() + ((block.panel + p) * weights.slices + s) * kInt8Slice * kPanel;
      for (std::int64_t r = 0; r < block.rows; r += kernel.tile_rows) {
        const std::int64_t at = (block.row + r) * x.slices + s;
        const Int8TileRows rows{x.values.data() + at * kInt8Slice, x.slices * kInt8Slice,
                                x.scales.data() + at, x.sums.data() + at, x.slices};
        kernel.tile(rows, panel, weight_scales[s], sums + r * kTaskOutputs + p * kPanel, kTaskOutputs,
                    std::min(kernel.tile_rows, block.rows - r));
      }
    }
  }
}

/// Splits the product into tasks and hands each finished row piece, bias added, to
/// finish(row, first column, values, count).
template <class Finish>
void multiply(const Context& context, const Int8Rows& x, const Int8LinearWeights& weights,
              const Finish& finish) {
  const std::int64_t panels = ceil_div(weights.out, kPanel);
  const std::int64_t groups = ceil_div(panels, kPanelsPerTask);
  context.pool.for_each(ceil_div(x.rows, kRowBlock) * groups, [&](std::int64_t task) {
    Block block{};
    block.row = task / groups * kRowBlock;
    block.rows = std::min(kRowBlock, x.rows - block.row);
    block.panel = task % groups * kPanelsPerTask;
    block.panels = std::min(kPanelsPerTask, panels - block.panel);
    alignas(64) float sums[kRowBlock * kTaskOutputs];
    std::fill_n(sums, block.rows * kTaskOutputs, 0.0f);
    multiply_block(*context.kernels.int8, x, weights, block, sums);
    const std::int64_t column = block.panel * kPanel;
    const std::int64_t count = std::min(kTaskOutputs, weights.out - column);
    for (std::int64_t r = 0; r < block.rows; ++r) {
      float* values = sums + r * kTaskOutputs;
      for (std::int64_t i = 0; i < count; ++i) values[i] += weights.bias[column + i];
      finish(block.row + r, column, values, count);
    }
  });
}

Int8Rows make_rows(std::int64_t rows, std::int64_t width) {
  Int8Rows out{rows, int8_block_count(width), {}, {}, {}};
  const auto scales = static_cast<std::size_t>(rows * out.slices);
  out.values.resize(scales * kInt8Slice);
  out.scales.resize(scales);
  out.sums.resize(scales);
  return out;
}

/// A tensor of this shape and type.
Result<const TensorView*> require_typed(const Checkpoint& checkpoint, const std::string& name,
                                        const Shape& shape, DType dtype) {
  const Result<const TensorView*> view = checkpoint.require(name, shape);
  if (!view || view.value()->dtype == dtype) return view;
  return Error{ErrorCode::tensor_shape,
               concat(checkpoint.path().string(), ": tensor ", in_quotes(name), " is of type ",
                      dtype_name(view.value()->dtype), ", expected ", dtype_name(dtype),
                      "; quantise the checkpoint anew with turboclip-runner quantize")};
}

}  // namespace

Int8LinearWeights pack_int8_linear(const Int8Blocks& blocks, const std::vector<float>& bias) {
  Int8LinearWeights packed{blocks.rows, blocks.columns, int8_block_count(blocks.columns), {}, {}, bias};
  packed.scales = blocks.scales;
  const std::int64_t panels = ceil_div(packed.out, kPanel);
  packed.panels.resize(static_cast<std::size_t>(panels * packed.slices * kInt8Slice * kPanel));
  for (std::int64_t o = 0; o < packed.out; ++o) {
    std::int8_t* panel = packed.panels.data() + o / kPanel * packed.slices * kInt8Slice * kPanel;
    const std::int8_t* row = blocks.values.data() + o * packed.in;
    for (std::int64_t i = 0; i < packed.in; ++i) {
      panel[(i / kInt8Group * kPanel + o % kPanel) * kInt8Group + i % kInt8Group] = row[i];
    }
  }
  packed.bias.resize(static_cast<std::size_t>(panels * kPanel), 0.0f);
  return packed;
}

Result<Int8LinearWeights> load_int8_linear(const Checkpoint& checkpoint, const std::string& name,
                                           std::int64_t out, std::int64_t in) {
  const Result<const TensorView*> weight =
      require_typed(checkpoint, name + ".int8_weight", {out, in}, DType::i8);
  if (!weight) return weight.error();
  const Result<const TensorView*> scale =
      require_typed(checkpoint, name + ".scale", {int8_block_count(out), int8_block_count(in)}, DType::f32);
  if (!scale) return scale.error();
  Result<Tensor> bias = checkpoint.require_float(name + ".bias", {out});
  if (!bias) return bias.error();
  Int8Blocks blocks{out, in, std::vector<std::int8_t>(static_cast<std::size_t>(out * in)),
                    to_float(*scale.value()).values};
  const TensorView& view = *weight.value();
  for (std::int64_t row = 0; row < out; ++row) {
    const std::byte* from = view.data + row * view.strides[0];
    std::int8_t* to = blocks.values.data() + row * in;
    for (std::int64_t i = 0; i < in; ++i) to[i] = static_cast<std::int8_t>(from[i * view.strides[1]]);
  }
  return pack_int8_linear(blocks, bias->values);
}

Int8Rows quantize_rows(const Context& context, const float* x, std::int64_t rows, std::int64_t width) {
  Int8Rows out = make_rows(rows, width);
  context.pool.for_each(ceil_div(rows, kRowBlock), [&](std::int64_t task) {
    const std::int64_t end = std::min(rows, (task + 1) * kRowBlock);
    for (std::int64_t row = task * kRowBlock; row < end; ++row) {
      for (std::int64_t s = 0; s < out.slices; ++s) {
        const std::int64_t at = row * out.slices + s;
        const std::int64_t count = std::min(kInt8Slice, width - s * kInt8Slice);
        out.sums[at] = context.kernels.int8->quantize(x + row * width + s * kInt8Slice, count,
                                                      out.values.data() + at * kInt8Slice, out.scales[at]);
      }
    }
  });
  return out;
}

Int8Rows rows_of_blocks(const Int8Blocks& blocks) {
  Int8Rows out = make_rows(blocks.rows, blocks.columns);
  for (std::int64_t row = 0; row < blocks.rows; ++row) {
    for (std::int64_t s = 0; s < out.slices; ++s) {
      const std::int64_t at = row * out.slices + s;
      const std::int64_t count = std::min(kInt8Slice, blocks.columns - s * kInt8Slice);
      std::int8_t* values = out.values.data() + at * kInt8Slice;
      std::copy_n(blocks.values.data() + row * blocks.columns + s * kInt8Slice, count, values);
      out.sums[at] = std::accumulate(values, values + count, std::int32_t{0});
      out.scales[at] = blocks.scales[row / kInt8Block * out.slices + s];
    }
  }
  return out;
}

void linear(const Context& context, const Int8Rows& x, const Int8LinearWeights& weights, float* y) {
  multiply(context, x, weights,
           [&](std::int64_t row, std::int64_t column, const float* values, std::int64_t count) {
             std::copy_n(values, count, y + row * weights.out + column);
           });
}

void linear(const Context& context, const float* x, std::int64_t rows, const Int8LinearWeights& weights,
            float* y, Activation activation) {
  multiply(context, quantize_rows(context, x, rows, weights.in), weights,
           [&](std::int64_t row, std::int64_t column, float* values, std::int64_t count) {
             if (activation == Activation::gelu) context.kernels.gelu(values, count);
             if (activation == Activation::silu) context.kernels.silu(values, count);
             std::copy_n(values, count, y + row * weights.out + column);
           });
}

void linear_add(const Context& context, const float* x, std::int64_t rows, const Int8LinearWeights& weights,
                float* y, const float* gate) {
  multiply(context, quantize_rows(context, x, rows, weights.in), weights,
           [&](std::int64_t row, std::int64_t column, const float* values, std::int64_t count) {
             float* out = y + row * weights.out + column;
             for (std::int64_t i = 0; i < count; ++i) {
               out[i] += gate == nullptr ? values[i] : gate[column + i] * values[i];
             }
           });
}

}  // namespace turboclip::cpu
