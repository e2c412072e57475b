// W8A8 linear layers: y = x W^T + b with INT8 weights in blocks of 128 x 128 and activations quantised on the
// way in, a scale for each row and 128 channels. (The reference takes one scale for 128 rows together; the
// finer ones cost nothing here and lose less.) The products of 128 channels are summed exactly in int32, the
// slices in float.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cpu/linear.h"
#include "engine/quant/int8_blocks.h"

namespace turboclip::cpu {

/// Weights in panels of kPanel outputs: [ceil(out / kPanel)][slices][32][kPanel][4], zero past `out` and
/// `in`.
struct Int8LinearWeights {
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::int64_t slices = 0;  // ceil(in / 128)
  std::vector<std::int8_t> panels;
  std::vector<float> scales;  // [ceil(out / 128)][slices]
  std::vector<float> bias;    // [ceil(out / kPanel) * kPanel]

  std::int64_t bytes() const {
    return static_cast<std::int64_t>(panels.size() + (scales.size() + bias.size()) * sizeof(float));
  }
};

/// Activations: row r's value c is values[r][c] * scales[r][c / 128].
struct Int8Rows {
  std::int64_t rows = 0;
  std::int64_t slices = 0;
  std::vector<std::int8_t> values;  // [rows][slices * 128], zero past the width
  std::vector<float> scales;        // [rows][slices]
  std::vector<std::int32_t> sums;   // [rows][slices], of the values
};

/// bias: [blocks.rows] or empty.
Int8LinearWeights pack_int8_linear(const Int8Blocks& blocks, const std::vector<float>& bias);

/// Reads `<name>.int8_weight` [out, in], `<name>.scale` [ceil(out / 128), ceil(in / 128)] and `<name>.bias`.
Result<Int8LinearWeights> load_int8_linear(const Checkpoint& checkpoint, const std::string& name,
                                           std::int64_t out, std::int64_t in);

/// x: [rows, width], row-major.
Int8Rows quantize_rows(const Context& context, const float* x, std::int64_t rows, std::int64_t width);

/// Activations that were quantised elsewhere in blocks of 128 x 128.
Int8Rows rows_of_blocks(const Int8Blocks& blocks);

/// y[rows, out] = x W^T + b of quantised rows, row-major.
void linear(const Context& context, const Int8Rows& x, const Int8LinearWeights& weights, float* y);

/// The same operations as on LinearWeights (linear.h).
void linear(const Context& context, const float* x, std::int64_t rows, const Int8LinearWeights& weights,
            float* y, Activation activation = Activation::none);
void linear_add(const Context& context, const float* x, std::int64_t rows, const Int8LinearWeights& weights,
                float* y, const float* gate);

}  // namespace turboclip::cpu
