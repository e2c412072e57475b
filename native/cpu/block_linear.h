// A linear layer of a transformer block, from either kind of checkpoint: float weights or INT8 ones. What
// calls it does not know which.
#pragma once

#include <string>
#include <variant>

#include "cpu/linear.h"
#include "cpu/linear_int8.h"

namespace turboclip::cpu {

using BlockLinear = std::variant<LinearWeights, Int8LinearWeights>;

inline std::int64_t linear_bytes(const BlockLinear& weights) {
  return std::visit([](const auto& kind) { return kind.bytes(); }, weights);
}

/// The layer `name` with its bias, INT8 where the checkpoint holds `<name>.int8_weight`.
Result<BlockLinear> load_block_linear(const Checkpoint& checkpoint, const std::string& name, std::int64_t out,
                                      std::int64_t in);

/// The name of the layer's weight in this checkpoint: `<name>.int8_weight` or `<name>.weight`.
std::string block_weight_name(const Checkpoint& checkpoint, const std::string& name);

/// As in linear.h.
void linear(const Context& context, const float* x, std::int64_t rows, const BlockLinear& weights, float* y,
            Activation activation = Activation::none);
void linear_add(const Context& context, const float* x, std::int64_t rows, const BlockLinear& weights,
                float* y, const float* gate);

}  // namespace turboclip::cpu
