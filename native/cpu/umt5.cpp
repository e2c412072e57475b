#include "cpu/umt5.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cpu/linear.h"
#include "cpu/norm.h"
#include "engine/text.h"
#include "engine/umt5_config.h"

namespace turboclip::cpu {
namespace {

struct BlockWeights {
  std::vector<float> norm1;          // [width]
  std::vector<float> norm2;          // [width]
  LinearWeights q, k, v;             // [inner, width]
  LinearWeights o;                   // [width, inner]
  LinearWeights gate, up;            // [ffn, width]
  LinearWeights down;                // [width, ffn]
  std::vector<float> position_bias;  // [kPositionBuckets, heads]
};

struct Weights {
  Tensor embedding;  // [vocabulary, width]
  std::vector<BlockWeights> blocks;
  std::vector<float> norm;  // [width]

  std::int64_t bytes() const {
    auto total = static_cast<std::int64_t>(embedding.values.size() * sizeof(float));
    for (const BlockWeights& b : blocks) {
      for (const LinearWeights* w : {&b.q, &b.k, &b.v, &b.o, &b.gate, &b.up, &b.down}) total += w->bytes();
    }
    return total;
  }
};

/// Activations of one prompt, row-major.
struct RunState {
  std::int64_t tokens = 0;
  std::vector<float> x;         // [tokens, width]
  std::vector<float> normed;    // [tokens, width]
  std::vector<float> q, k, v;   // [tokens, inner]
  std::vector<float> mixed;     // [tokens, inner]
  std::vector<float> gate, up;  // [tokens, ffn]
};

Status load_block(const Checkpoint& checkpoint, const std::string& prefix, const Umt5Config& config,
                  BlockWeights& out) {
  const auto vector = [&](const std::string& name, const Shape& shape, std::vector<float>& values) -> Status {
    Result<Tensor> tensor = checkpoint.require_float(prefix + name, shape);
    if (!tensor) return tensor.error();
    values = std::move(tensor->values);
    return success();
  };
  const auto matrix = [&](const std::string& name, std::int64_t rows, std::int64_t columns,
                          LinearWeights& weights) -> Status {
    Result<LinearWeights> loaded = load_linear(checkpoint, prefix + name, rows, columns, Bias::absent);
    if (!loaded) return loaded.error();
    weights = std::move(loaded).value();
    return success();
  };
  for (Status status :
       {vector("norm1.weight", {config.width}, out.norm1), vector("norm2.weight", {config.width}, out.norm2),
        vector("pos_embedding.embedding.weight", {kPositionBuckets, config.heads}, out.position_bias),
        matrix("attn.q", config.inner, config.width, out.q),
        matrix("attn.k", config.inner, config.width, out.k),
        matrix("attn.v", config.inner, config.width, out.v),
        matrix("attn.o", config.width, config.inner, out.o),
        matrix("ffn.gate.0", config.ffn, config.width, out.gate),
        matrix("ffn.fc1", config.ffn, config.width, out.up),
        matrix("ffn.fc2", config.width, config.ffn, out.down)}) {
    if (!status) return status;
  }
  return success();
}

class Umt5 : public TextEncoder {
 public:
  Umt5(const Context& context, const Umt5Config& config, Weights weights)
      : context_(context), config_(config), weights_(std::move(weights)) {}

  std::int64_t width() const override { return config_.width; }
  std::int64_t vocabulary() const override { return config_.vocabulary; }

  Result<Tensor> encode(std::span<const std::int32_t> ids, const CancelFlag& cancel,
                        const Progress& progress) override {
    const Status valid = check_prompt(ids, config_.vocabulary);
    if (!valid) return valid.error();
    embed(ids);
    for (std::size_t i = 0; i < weights_.blocks.size(); ++i) {
      if (cancel.requested) return Error{ErrorCode::cancelled, "cancelled while encoding the prompt"};
      run_block(weights_.blocks[i]);
      if (progress) progress(static_cast<double>(i + 1) / static_cast<double>(weights_.blocks.size()));
    }
    Tensor rows({state_.tokens, config_.width});
    rows.values = std::move(state_.x);
    rms_norm(context_, {rows.data(), state_.tokens, config_.width}, weights_.norm.data());
    return rows;
  }

 private:
  void embed(std::span<const std::int32_t> ids) {
    const auto tokens = static_cast<std::int64_t>(ids.size());
    const auto rows = [&](std::int64_t width) {
      return std::vector<float>(static_cast<std::size_t>(tokens * width));
    };
    state_ = {tokens,
              rows(config_.width),
              rows(config_.width),
              rows(config_.inner),
              rows(config_.inner),
              rows(config_.inner),
              rows(config_.inner),
              rows(config_.ffn),
              rows(config_.ffn)};
    for (std::int64_t t = 0; t < tokens; ++t) {
      std::copy_n(weights_.embedding.data() + ids[t] * config_.width, config_.width,
                  state_.x.data() + t * config_.width);
    }
  }

  void run_block(const BlockWeights& block) {
    RunState& s = state_;
    normalise(block.norm1);
    linear(context_, s.normed.data(), s.tokens, block.q, s.q.data());
    linear(context_, s.normed.data(), s.tokens, block.k, s.k.data());
    linear(context_, s.normed.data(), s.tokens, block.v, s.v.data());
    mix(block);
    linear_add(context_, s.mixed.data(), s.tokens, block.o, s.x.data(), nullptr);
    normalise(block.norm2);
    linear(context_, s.normed.data(), s.tokens, block.gate, s.gate.data(), Activation::gelu);
    linear(context_, s.normed.data(), s.tokens, block.up, s.up.data());
    for (std::size_t i = 0; i < s.up.size(); ++i) s.up[i] *= s.gate[i];
    linear_add(context_, s.up.data(), s.tokens, block.down, s.x.data(), nullptr);
  }

  void normalise(const std::vector<float>& weight) {
    state_.normed = state_.x;
    rms_norm(context_, {state_.normed.data(), state_.tokens, config_.width}, weight.data());
  }

  /// Attention without scaling, with the bias of the relative position: at most 512 keys, so a whole row of
  /// scores is kept.
  void mix(const BlockWeights& block) {
    const std::int64_t head_width = config_.inner / config_.heads;
    context_.pool.for_each(config_.heads * state_.tokens, [&](std::int64_t task) {
      const std::int64_t head = task / state_.tokens;
      const std::int64_t query = task % state_.tokens;
      const Kernels& kernels = context_.kernels;
      const auto row = [&](const std::vector<float>& x, std::int64_t token) {
        return x.data() + token * config_.inner + head * head_width;
      };
      std::vector<float> scores(static_cast<std::size_t>(ceil_div(state_.tokens, kPanel) * kPanel), -1e30f);
      for (std::int64_t key = 0; key < state_.tokens; ++key) {
        const float bias = block.position_bias[position_bucket(key - query) * config_.heads + head];
        scores[key] = kernels.dot(row(state_.q, query), row(state_.k, key), head_width) + bias;
      }
      const float maximum = kernels.max_row(scores.data(), state_.tokens);
      const float total =
          kernels.exp_row(scores.data(), static_cast<std::int64_t>(scores.size()), 1.0f, maximum);
      float* out = state_.mixed.data() + query * config_.inner + head * head_width;
      std::fill_n(out, head_width, 0.0f);
      for (std::int64_t key = 0; key < state_.tokens; ++key) {
        kernels.axpy(out, row(state_.v, key), scores[key] / total, head_width);
      }
    });
  }

  Context context_;
  Umt5Config config_;
  Weights weights_;
  RunState state_;
};

}  // namespace

Result<std::unique_ptr<TextEncoder>> load_umt5(const Checkpoint& checkpoint, const Context& context,
                                               std::int64_t& resident_bytes) {
  const Result<Umt5Config> read = read_umt5_config(checkpoint);
  if (!read) return read.error();
  const Umt5Config& config = read.value();
  Weights weights;
  Result<Tensor> embedding = checkpoint.require_float("token_embedding.weight", {-1, -1});
  if (!embedding) return embedding.error();
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const Status loaded =
        load_block(checkpoint, concat("blocks.", i, "."), config, weights.blocks.emplace_back());
    if (!loaded) return loaded.error();
  }
  Result<Tensor> norm = checkpoint.require_float("norm.weight", {config.width});
  if (!norm) return norm.error();
  weights.norm = std::move(norm->values);
  weights.embedding = std::move(embedding).value();
  resident_bytes += weights.bytes();
  return std::unique_ptr<TextEncoder>(std::make_unique<Umt5>(context, config, std::move(weights)));
}

}  // namespace turboclip::cpu
