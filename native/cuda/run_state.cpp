#include "cuda/run_state.h"

#include <algorithm>
#include <cmath>

namespace turboclip::cuda {

void RunState::shape_for(const DenoiserConfig& config, const LatentShape& shape,
                         const DenoiserSettings& settings) {
  heads = {config.heads, shape.tokens(), shape.frames, shape.height / 2, shape.width / 2};
  sla = settings.attention == Attention::sla;
  const std::int64_t blocks = heads.key_blocks();
  const auto share = static_cast<std::int64_t>(std::floor(settings.topk_ratio * static_cast<double>(blocks)));
  kept = sla ? std::clamp<std::int64_t>(share, 1, blocks) : blocks;
}

std::int64_t RunState::place(unsigned char* base, const DenoiserConfig& config, const LatentShape& shape,
                             const DenoiserSettings& settings, std::int64_t text, AttentionTiles tiles) {
  shape_for(config, shape, settings);
  Placing where(base);
  const std::int64_t blocks = heads.key_blocks();
  const std::int64_t tokens_count = heads.tokens;
  const std::int64_t stride = scale_stride(tokens_count);
  const std::int64_t width = config.width;
  const std::int64_t state_values = kLatentChannels * shape.plane();
  angles.place(where, heads);
  put(where, image, (config.in_channels - kLatentChannels) * shape.plane());
  cross_keys.resize(static_cast<std::size_t>(config.layers));
  for (DeviceArray<Bf16>& keys : cross_keys) put(where, keys, text * 2 * width);
  put(where, x, state_values);
  put(where, v, state_values);
  put(where, state, state_values);
  put(where, step, 1);
  put(where, modulation, (6 * config.layers + 2) * width);

  put(where, text_in, text * config.text_width);
  put(where, text_hidden, text * width);
  put(where, text_embedded, text * width);
  put(where, text_values, text * width);
  put(where, text_scales, config.heads * scale_stride(text));
  put(where, text_squares, 2 * config.heads * scale_stride(text));
  put(where, text_inverse, text);

  put(where, tokens, tokens_count * config.in_channels * kPatchValues);
  put(where, stream, tokens_count * width);
  put(where, rows, tokens_count * width);
  put(where, row_scales, config.heads * stride);
  put(where, projections, tokens_count * 3 * width);
  put(where, squares, 3 * config.heads * stride);
  put(where, q_inverse, tokens_count);
  put(where, k_inverse, tokens_count);
  const std::int64_t head_blocks = config.heads * blocks;
  const std::int64_t values = tiles == AttentionTiles::e4m3 ? head_blocks * kKeyBlock * kHeadWidth : 0;
  put(where, hidden, std::max(tokens_count * config.ffn, values));
  if (values > 0) v_values.place(reinterpret_cast<E4m3*>(hidden.data()), values);
  put(where, hidden_scales, config.ffn / kScaleGroup * stride);
  put(where, outputs, tokens_count * kHeadOutputs);

  put(where, k_offset, width);
  put(where, q, tokens_count * width);
  put(where, k, tokens_count * width);
  put(where, q_scales, config.heads * stride);
  put(where, k_scales, head_blocks);
  put(where, q_sums, head_blocks * kHeadWidth);
  put(where, k_means, head_blocks * kHeadWidth);
  if (values > 0) put(where, v_scales, head_blocks);
  if (!sla) return where.bytes();
  put(where, parts, config.heads * linear_parts(tokens_count) * kPartFloats);
  put(where, matrix, width * kHeadWidth);
  put(where, sums, width);
  put(where, lut, config.heads * heads.query_blocks() * kept);
  return where.bytes();
}

void RunState::allocate(Queue& queue, const DenoiserConfig& config, const LatentShape& shape,
                        const DenoiserSettings& settings, AttentionTiles tiles) {
  own_.allocate(queue, place(nullptr, config, shape, settings, 1, tiles));
  place(own_.data(), config, shape, settings, 1, tiles);
  angles.fill(queue, heads);
}

}  // namespace turboclip::cuda
