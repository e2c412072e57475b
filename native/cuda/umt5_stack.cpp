#include "cuda/umt5_stack.h"

#include <algorithm>
#include <type_traits>

#include "cuda/umt5_attention.h"

namespace turboclip::cuda {
namespace {

/// Numbers of `layer`'s sums.
std::int64_t sums_of(const Device& device, const PackedLayer& layer, std::int64_t tokens) {
  return few_rows_shares(device, tokens, layer.view()).most_parts() * tokens * layer.out;
}

class Run {
 public:
  Run(Queue& queue, const Umt5Weights& weights, const Umt5State& state, std::int64_t tokens)
      : queue_(queue), weights_(weights), state_(state), tokens_(tokens) {}

  void block(const Umt5Block& block) {
    const Umt5Config& config = weights_.config;
    norm(block.norm1);
    multiply(block.qkv);
    text_attention(queue_, sums_, {config.heads, config.inner / config.heads}, block.bias.data(), rows());
    multiply(block.o);
    norm(block.norm2);
    multiply(block.gate_up);
    gate(queue_, sums_, config.ffn, rows());
    multiply(block.down);
  }

  void end() {
    add_and_norm(queue_, sums_, state_.x, tokens_, weights_.config.width, weights_.norm.data(), state_.x);
  }

 private:
  TextRows rows() const {
    if (weights_.precision == TextPrecision::bf16) return {reinterpret_cast<Bf16*>(state_.rows), nullptr, nullptr};
    return {nullptr, reinterpret_cast<std::int8_t*>(state_.rows), state_.scales};
  }

  /// The residual stream takes in what the last product left.
  void norm(const DeviceArray<float>& weight) {
    add_and_norm(queue_, sums_, state_.x, tokens_, weights_.config.width, weight.data(), rows());
  }

  void multiply(const PackedLayer& layer) {
    const TextRows x = rows();
    sums_ = x.bf16 != nullptr
                ? multiply_few_rows(queue_, Bf16Rows{x.bf16, tokens_, layer.in}, layer.view(), state_.sums)
                : multiply_few_rows(queue_, Int8Rows{x.int8, x.scales, tokens_, layer.in}, layer.view(), state_.sums);
  }

  Queue& queue_;
  const Umt5Weights& weights_;
  const Umt5State& state_;
  std::int64_t tokens_;
  PartialSums sums_;
};

}  // namespace

std::int64_t Umt5State::place(unsigned char* memory, const Device& device, const Umt5Weights& weights,
                              std::int64_t tokens) {
  const Umt5Config& config = weights.config;
  const std::int64_t widest = std::max({config.width, config.inner, config.ffn});
  const bool int8 = weights.precision == TextPrecision::int8;
  std::int64_t taken = 0;
  const auto next = [&](auto*& array, std::int64_t count) {
    using Value = std::remove_reference_t<decltype(*array)>;
    constexpr std::int64_t kAlignment = 256;
    array = memory == nullptr ? nullptr : reinterpret_cast<Value*>(memory + taken);
    taken += ceil_div(count * static_cast<std::int64_t>(sizeof(Value)), kAlignment) * kAlignment;
  };
  next(x, tokens * config.width);
  next(rows, tokens * widest * (int8 ? 1 : 2));
  next(scales, int8 ? widest / kScaleGroup * scale_stride(tokens) : 0);
  std::int64_t most = 0;
  if (!weights.blocks.empty()) {
    const Umt5Block& block = weights.blocks.front();
    for (const PackedLayer* layer : {&block.qkv, &block.o, &block.gate_up, &block.down}) {
      most = std::max(most, sums_of(device, *layer, tokens));
    }
  }
  next(sums, most);
  return taken;
}

bool run_umt5(Queue& queue, const Umt5Weights& weights, const Umt5State& state, std::int64_t tokens,
              const Stopped& stopped) {
  Run run(queue, weights, state, tokens);
  for (const Umt5Block& block : weights.blocks) {
    if (stopped()) return false;
    run.block(block);
  }
  run.end();
  return true;
}

}  // namespace turboclip::cuda
