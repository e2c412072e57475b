#include "cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace turboclip::cpu {
namespace {

constexpr std::int64_t kKeyPanels = kKeyBlock / kPanel;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// The running softmax of a block of queries.
struct State {
  std::vector<float> sums;  // [rows, padded width], not yet divided
  std::vector<float> totals;
  std::vector<float> maxima;
  std::int64_t width;  // padded to whole panels

  State(std::int64_t rows, std::int64_t panels)
      : sums(static_cast<std::size_t>(rows * panels * kPanel)),
        totals(static_cast<std::size_t>(rows)),
        maxima(static_cast<std::size_t>(rows), kMinusInfinity),
        width(panels * kPanel) {}
};

/// Scores of `rows` queries against one key block, then their exponentials; the state's sums are rescaled to
/// the new maxima. scores: [rows, kKeyBlock].
void weigh(const Kernels& kernels, const PackedKeys& keys, const AttentionBlock& block,
           std::int64_t key_block, std::int64_t row, std::int64_t rows, State& state, float* scores) {
  const float* q = block.q + row * block.q_stride;
  const TileRows left{&q, 1, keys.width, block.q_stride};
  const float* k = keys.k.data() + key_block * kKeyBlock * keys.width;
  tile_across(kernels, left, {k, kKeyPanels, keys.width * kPanel}, scores, kKeyBlock, rows, false);
  const std::int64_t count = std::min(kKeyBlock, keys.keys - key_block * kKeyBlock);
  const bool last = key_block + 1 == keys.blocks();
  for (std::int64_t r = 0; r < rows; ++r) {
    float* line = scores + r * kKeyBlock;
    if (last) line[count - 1] += block.last_key_bias / block.scale;
    std::fill(line + count, line + kKeyBlock, kMinusInfinity);
    float& maximum = state.maxima[row + r];
    const float highest = block.scale * kernels.max_row(line, count);
    if (highest > maximum) {  // seldom after the first blocks
      const float shrink = maximum == kMinusInfinity ? 0.0f : std::exp(maximum - highest);
      kernels.scale_row(state.sums.data() + (row + r) * state.width, shrink, state.width);
      state.totals[row + r] *= shrink;
      maximum = highest;
    }
    state.totals[row + r] += kernels.exp_row(line, kKeyBlock, block.scale, maximum);
    std::fill(line + count, line + kKeyBlock, 0.0f);
  }
}

}  // namespace

PackedKeys pack_keys(const HeadRows& k, const HeadRows& v) {
  PackedKeys packed;
  packed.keys = k.rows;
  packed.width = k.width;
  const std::int64_t value_panels = ceil_div(k.width, kPanel);
  packed.k.assign(static_cast<std::size_t>(packed.blocks() * kKeyBlock * k.width), 0.0f);
  packed.v.assign(static_cast<std::size_t>(packed.blocks() * value_panels * kKeyBlock * kPanel), 0.0f);
  for (std::int64_t key = 0; key < k.rows; ++key) {
    const std::int64_t block = key / kKeyBlock;
    const std::int64_t inside = key % kKeyBlock;
    float* k_panel =
        packed.k.data() + (block * kKeyPanels + inside / kPanel) * k.width * kPanel + inside % kPanel;
    float* v_block = packed.v.data() + block * value_panels * kKeyBlock * kPanel;
    for (std::int64_t d = 0; d < k.width; ++d) {
      k_panel[d * kPanel] = k.data[key * k.stride + d];
      v_block[(d / kPanel * kKeyBlock + inside) * kPanel + d % kPanel] = v.data[key * v.stride + d];
    }
  }
  return packed;
}

void attend(const Kernels& kernels, const PackedKeys& keys, const AttentionBlock& block) {
  const std::int64_t panels = ceil_div(keys.width, kPanel);
  State state(block.rows, panels);
  std::vector<float> scores(static_cast<std::size_t>(kernels.tile_rows * kKeyBlock));
  const std::int64_t looked_at =
      block.key_blocks.empty() ? keys.blocks() : static_cast<std::int64_t>(block.key_blocks.size());
  for (std::int64_t i = 0; i < looked_at; ++i) {
    const std::int64_t key_block = block.key_blocks.empty() ? i : block.key_blocks[i];
    const float* v = keys.v.data() + key_block * panels * kKeyBlock * kPanel;
    for (std::int64_t row = 0; row < block.rows; row += kernels.tile_rows) {
      const std::int64_t rows = std::min(kernels.tile_rows, block.rows - row);
      weigh(kernels, keys, block, key_block, row, rows, state, scores.data());
      const float* weights = scores.data();
      const TileRows left{&weights, 1, kKeyBlock, kKeyBlock};
      tile_across(kernels, left, {v, panels, kKeyBlock * kPanel}, state.sums.data() + row * state.width,
                  state.width, rows, true);
    }
  }
  for (std::int64_t r = 0; r < block.rows; ++r) {
    float* sums = state.sums.data() + r * state.width;
    kernels.scale_row(sums, 1.0f / state.totals[r], keys.width);
    std::copy_n(sums, keys.width, block.out + r * block.out_stride);
  }
}

}  // namespace turboclip::cpu
