#include "cpu/wan_dit_taps.h"

#include <algorithm>

#include "cpu/wan_dit_weights.h"

namespace turboclip::cpu {

Tensor heads_first(const std::vector<float>& values, std::int64_t heads) {
  const std::int64_t width = heads * kHeadWidth;
  const std::int64_t tokens = static_cast<std::int64_t>(values.size()) / width;
  Tensor out({1, heads, tokens, kHeadWidth});
  float* next = out.data();
  for (std::int64_t h = 0; h < heads; ++h) {
    for (std::int64_t token = 0; token < tokens; ++token) {
      next = std::copy_n(values.data() + token * width + h * kHeadWidth, kHeadWidth, next);
    }
  }
  return out;
}

void show_block_maps(const Tap& tap, const std::vector<const BlockMap*>& maps) {
  const BlockMap& first = *maps.front();
  const auto heads = static_cast<std::int64_t>(maps.size());
  Tensor lut({1, heads, first.query_blocks, first.kept});
  Tensor block_map({1, heads, first.query_blocks, first.key_blocks});
  for (std::int64_t row = 0; row < heads * first.query_blocks; ++row) {
    const auto kept = maps[static_cast<std::size_t>(row / first.query_blocks)]->row(row % first.query_blocks);
    std::copy(kept.begin(), kept.end(), lut.data() + row * first.kept);
    for (const std::int32_t key : kept) block_map.values[row * first.key_blocks + key] = 1;
  }
  tap.take("block0.lut", lut);
  tap.take("block0.block_map", block_map);
}

}  // namespace turboclip::cpu
