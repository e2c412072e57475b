#include "cpu/wan_dit_weights.h"

#include <string>
#include <utility>

#include "engine/checkpoint/architecture.h"
#include "engine/text.h"

namespace turboclip::cpu {
namespace {

/// Reads tensor after tensor and remembers the first failure; what follows it is skipped.
class Loader {
 public:
  explicit Loader(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  void vector(const std::string& name, const Shape& shape, std::vector<float>& out) {
    if (!status_) return;
    Result<Tensor> tensor = checkpoint_.require_float(name, shape);
    if (tensor) {
      out = std::move(tensor->values);
    } else {
      status_ = tensor.error();
    }
  }
  void matrix(const std::string& name, std::int64_t rows, std::int64_t columns, LinearWeights& out) {
    if (!status_) return;
    Result<LinearWeights> loaded = load_linear(checkpoint_, name, rows, columns, Bias::required);
    if (loaded) {
      out = std::move(loaded).value();
    } else {
      status_ = loaded.error();
    }
  }
  void block_linear(const std::string& name, std::int64_t rows, std::int64_t columns, BlockLinear& out) {
    if (!status_) return;
    Result<BlockLinear> loaded = load_block_linear(checkpoint_, name, rows, columns);
    if (loaded) {
      out = std::move(loaded).value();
    } else {
      status_ = loaded.error();
    }
  }
  void attention(const std::string& prefix, std::int64_t width, AttentionWeights& out) {
    block_linear(prefix + "q", width, width, out.q);
    block_linear(prefix + "k", width, width, out.k);
    block_linear(prefix + "v", width, width, out.v);
    block_linear(prefix + "o", width, width, out.o);
    vector(prefix + "norm_q.weight", {width}, out.norm_q);
    vector(prefix + "norm_k.weight", {width}, out.norm_k);
  }

  const Status& status() const { return status_; }

 private:
  const Checkpoint& checkpoint_;
  Status status_ = success();
};

/// A size of a tensor that decides the architecture.
Result<std::int64_t> size_of(const Checkpoint& checkpoint, std::string_view name, const Shape& expected,
                             std::size_t dim) {
  const Result<const TensorView*> view = checkpoint.require(name, expected);
  if (!view) return view.error();
  return view.value()->shape[dim];
}

Result<DenoiserConfig> read_config(const Checkpoint& checkpoint) {
  DenoiserConfig config;
  const TensorView* patch = checkpoint.find("patch_embedding.weight");
  if (patch == nullptr || patch->shape.size() < 2) {
    return checkpoint.require("patch_embedding.weight", {-1, -1}).error();
  }
  config.width = patch->shape[0];
  const std::int64_t patch_values = element_count(patch->shape) / std::max<std::int64_t>(config.width, 1);
  config.in_channels = patch_values / kPatchValues;
  config.heads = config.width / kHeadWidth;
  if (config.heads < 1 || config.width % kHeadWidth != 0) {
    return Error{ErrorCode::tensor_shape,
                 concat(checkpoint.path().string(), ": tensor 'patch_embedding.weight' has shape ",
                        shape_text(patch->shape), ", expected a multiple of ", kHeadWidth, " rows")};
  }
  if (config.in_channels < kLatentChannels || patch_values % kPatchValues != 0) {
    return Error{
        ErrorCode::tensor_shape,
        concat(checkpoint.path().string(), ": tensor 'patch_embedding.weight' has shape ",
               shape_text(patch->shape), ", expected ", kPatchValues, " times 16 or more values a patch")};
  }
  const Result<std::int64_t> text = size_of(checkpoint, "text_embedding.0.weight", {config.width, -1}, 1);
  if (!text) return text.error();
  const Result<std::int64_t> ffn =
      size_of(checkpoint, block_weight_name(checkpoint, "blocks.0.ffn.0"), {-1, config.width}, 0);
  if (!ffn) return ffn.error();
  config.text_width = text.value();
  config.ffn = ffn.value();
  config.layers = count_blocks(checkpoint);
  config.has_sla = checkpoint.find("blocks.0.self_attn.attn_op.local_attn.proj_l.weight") != nullptr;
  return config;
}

void load_block(Loader& loader, const std::string& prefix, const DenoiserConfig& config,
                DitBlockWeights& out) {
  const std::int64_t width = config.width;
  loader.vector(prefix + "modulation", {1, 6, width}, out.modulation);
  loader.attention(prefix + "self_attn.", width, out.self_attn);
  if (config.has_sla) {
    loader.matrix(prefix + "self_attn.attn_op.local_attn.proj_l", kHeadWidth, kHeadWidth, out.proj_l);
  }
  loader.vector(prefix + "norm3.weight", {width}, out.norm3_gain);
  for (float& gain : out.norm3_gain) gain -= 1;
  loader.vector(prefix + "norm3.bias", {width}, out.norm3_shift);
  loader.attention(prefix + "cross_attn.", width, out.cross_attn);
  loader.block_linear(prefix + "ffn.0", config.ffn, width, out.ffn_in);
  loader.block_linear(prefix + "ffn.2", width, config.ffn, out.ffn_out);
}

std::int64_t attention_bytes(const AttentionWeights& weights) {
  return linear_bytes(weights.q) + linear_bytes(weights.k) + linear_bytes(weights.v) +
         linear_bytes(weights.o);
}

}  // namespace

std::int64_t DitWeights::bytes() const {
  std::int64_t total = patch_embedding.bytes() + text_in.bytes() + text_out.bytes() + time_in.bytes() +
                       time_out.bytes() + time_projection.bytes() + head.bytes();
  for (const DitBlockWeights& block : blocks) {
    total += attention_bytes(block.self_attn) + attention_bytes(block.cross_attn) +
             linear_bytes(block.ffn_in) + linear_bytes(block.ffn_out);
  }
  return total;
}

Result<DitModel> load_dit_weights(const Checkpoint& checkpoint) {
  const Status known = require_architecture(checkpoint, Architecture::turbowan);
  if (!known) return known.error();
  const Result<DenoiserConfig> config = read_config(checkpoint);
  if (!config) return config.error();
  DitModel model{config.value(), {}};
  DitWeights& weights = model.weights;
  const std::int64_t width = config.value().width;
  Loader loader(checkpoint);
  loader.matrix("patch_embedding", width, config.value().in_channels * kPatchValues, weights.patch_embedding);
  loader.matrix("text_embedding.0", width, config.value().text_width, weights.text_in);
  loader.matrix("text_embedding.2", width, width, weights.text_out);
  loader.matrix("time_embedding.0", width, kFrequencies, weights.time_in);
  loader.matrix("time_embedding.2", width, width, weights.time_out);
  loader.matrix("time_projection.1", 6 * width, width, weights.time_projection);
  weights.blocks.resize(static_cast<std::size_t>(config.value().layers));
  for (std::size_t i = 0; i < weights.blocks.size(); ++i) {
    load_block(loader, concat("blocks.", i, "."), config.value(), weights.blocks[i]);
  }
  loader.vector("head.modulation", {1, 2, width}, weights.head_modulation);
  loader.matrix("head.head", kLatentChannels * kPatchValues, width, weights.head);
  if (!loader.status()) return loader.status().error();
  return model;
}

}  // namespace turboclip::cpu
