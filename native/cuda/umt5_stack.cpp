#include "cuda/umt5_stack.h"

#include <algorithm>

#include "cuda/device_share.h"
#include "cuda/umt5_attention.h"

namespace turboclip::cuda {
namespace {

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
    if (weights_.precision == TextPrecision::bf16)
      return {reinterpret_cast<Bf16*>(state_.rows), nullptr, nullptr};
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
                : multiply_few_rows(queue_, Int8Rows{x.int8, x.scales, tokens_, layer.in}, layer.view(),
                                    state_.sums);
  }

  Queue& queue_;
  const Umt5Weights& weights_;
  const Umt5State& state_;
  std::int64_t tokens_;
  PartialSums sums_;
};

}  // namespace

std::int64_t Umt5State::place(unsigned char* memory, const Device& device, const Umt5Config& config,
                              TextPrecision precision, std::int64_t tokens) {
  const std::int64_t widest = std::max({config.width, config.inner, config.ffn});
  const bool int8 = precision == TextPrecision::int8;
  std::int64_t most = 0;
  const auto sums_of = [&](std::int64_t out, std::int64_t in) {
    most = std::max(most, few_rows_shares(device, tokens, out, in, int8).most_parts() * tokens * out);
  };
  sums_of(3 * config.inner, config.width);
  sums_of(config.width, config.inner);
  sums_of(2 * config.ffn, config.width);
  sums_of(config.width, config.ffn);
  Placing where(memory);
  x = where.next<float>(tokens * config.width);
  rows = where.next<unsigned char>(tokens * widest * (int8 ? 1 : 2));
  scales = where.next<float>(int8 ? widest / kScaleGroup * scale_stride(tokens) : 0);
  sums = where.next<float>(most);
  return where.bytes();
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
