#include "cpu/block_linear.h"

#include <utility>

namespace turboclip::cpu {
namespace {

template <class Weights>
Result<BlockLinear> either(Result<Weights> loaded) {
  if (!loaded) return loaded.error();
  return BlockLinear(std::move(loaded).value());
}

}  // namespace

std::string block_weight_name(const Checkpoint& checkpoint, const std::string& name) {
  const std::string int8_name = name + ".int8_weight";
  return checkpoint.find(int8_name) != nullptr ? int8_name : name + ".weight";
}

Result<BlockLinear> load_block_linear(const Checkpoint& checkpoint, const std::string& name, std::int64_t out,
                                      std::int64_t in) {
  if (checkpoint.find(name + ".int8_weight") != nullptr) {
    return either(load_int8_linear(checkpoint, name, out, in));
  }
  return either(load_linear(checkpoint, name, out, in, Bias::required));
}

void linear(const Context& context, const float* x, std::int64_t rows, const BlockLinear& weights, float* y,
            Activation activation) {
  std::visit([&](const auto& kind) { linear(context, x, rows, kind, y, activation); }, weights);
}

void linear_add(const Context& context, const float* x, std::int64_t rows, const BlockLinear& weights,
                float* y, const float* gate) {
  std::visit([&](const auto& kind) { linear_add(context, x, rows, kind, y, gate); }, weights);
}

}  // namespace turboclip::cpu
