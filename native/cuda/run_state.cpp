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

/// Calls reserve(array, values) for each array of a step and of the sampler.
template <class Reserve>
void RunState::reserve_arrays(const DenoiserConfig& config, const LatentShape& shape,
                              const Reserve& reserve) {
  const std::int64_t blocks = heads.key_blocks();
  const std::int64_t tokens_count = heads.tokens;
  const std::int64_t stride = scale_stride(tokens_count);
  const std::int64_t width = config.width;
  const std::int64_t state_values = kLatentChannels * shape.plane();
  reserve(x, state_values);
  reserve(v, state_values);
  reserve(state, state_values);
  reserve(step, 1);
  reserve(modulation, (6 * config.layers + 2) * width);
  reserve(tokens, tokens_count * config.in_channels * kPatchValues);
  reserve(stream, tokens_count * width);
  reserve(rows, tokens_count * width);
  reserve(row_scales, config.heads * stride);
  reserve(projections, tokens_count * 3 * width);
  reserve(squares, 3 * config.heads * stride);
  reserve(q_inverse, tokens_count);
  reserve(k_inverse, tokens_count);
  reserve(hidden, tokens_count * config.ffn);
  reserve(hidden_scales, config.ffn / kScaleGroup * stride);
  reserve(outputs, tokens_count * kHeadOutputs);

  const std::int64_t head_blocks = config.heads * blocks;
  reserve(k_offset, width);
  reserve(q, tokens_count * width);
  reserve(k, tokens_count * width);
  reserve(q_scales, config.heads * stride);
  reserve(k_scales, head_blocks);
  reserve(q_sums, head_blocks * kHeadWidth);
  reserve(k_means, head_blocks * kHeadWidth);
  if (!sla) return;
  reserve(parts, config.heads * linear_parts(tokens_count) * kPartFloats);
  reserve(matrix, width * kHeadWidth);
  reserve(sums, width);
  reserve(lut, config.heads * heads.query_blocks() * kept);
}

void RunState::allocate(Queue& queue, const DenoiserConfig& config, const LatentShape& shape,
                        const DenoiserSettings& settings) {
  shape_for(config, shape, settings);
  angles.upload(queue, heads);
  reserve_arrays(config, shape, [&](auto& array, std::int64_t count) { array.allocate(queue, count); });
}

std::int64_t RunState::planned_bytes(const DenoiserConfig& config, const LatentShape& shape,
                                     const DenoiserSettings& settings) {
  RunState plan;
  plan.shape_for(config, shape, settings);
  std::int64_t bytes = RotaryTables::planned_bytes(plan.heads);
  plan.reserve_arrays(config, shape, [&](auto& array, std::int64_t count) {
    bytes += count * static_cast<std::int64_t>(sizeof *array.data());
  });
  return bytes;
}

}  // namespace turboclip::cuda
