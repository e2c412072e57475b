#include "cuda/transformer_weights.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>

#include "cuda/latent.h"
#include "engine/checkpoint/architecture.h"
#include "engine/quant/int8_blocks.h"
#include "engine/sampler/rcm.h"
#include "engine/text.h"

namespace turboclip::cuda {
namespace {

std::vector<Bf16> to_bf16(const std::vector<float>& values) {
  std::vector<Bf16> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), [](float value) {
    return Bf16{static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(round_to_bf16(value)) >> 16)};
  });
  return out;
}

/// Reads tensor after tensor and remembers the first failure; what follows it is skipped.
class Loader {
 public:
  Loader(Queue& queue, const Checkpoint& checkpoint) : queue_(queue), checkpoint_(checkpoint) {}

  std::vector<float> vector(const std::string& name, const Shape& shape) {
    if (!status()) return {};
    Result<Tensor> tensor = checkpoint_.require_float(name, shape);
    if (tensor) return std::move(tensor->values);
    failure_ = tensor.error();
    return {};
  }

  void upload(const std::string& name, const Shape& shape, DeviceArray<float>& out) {
    out.upload(queue_, vector(name, shape));
    settle();
  }

  void bf16(const std::string& name, std::int64_t out, std::int64_t in, Bf16Layer& layer) {
    const TensorView* view = checkpoint_.find(name + ".weight");
    // A convolution's weight has its patch as trailing sizes.
    Shape shape{out, in};
    if (view != nullptr && view->shape.size() > 2 && element_count(view->shape) == out * in)
      shape = view->shape;
    layer.out = out;
    layer.in = in;
    layer.values.upload(queue_, to_bf16(vector(name + ".weight", shape)));
    layer.bias.upload(queue_, vector(name + ".bias", {out}));
    settle();
  }

  /// The layers `names`, each [out, in], one after the other.
  void int8(std::initializer_list<std::string> names, std::int64_t out, std::int64_t in, Int8Layer& layer) {
    std::vector<std::int8_t> values;
    std::vector<float> scales;
    std::vector<float> bias;
    for (const std::string& name : names) {
      const Int8Blocks blocks = int8_blocks(name, out, in);
      const std::vector<float> part = vector(name + ".bias", {out});
      values.insert(values.end(), blocks.values.begin(), blocks.values.end());
      scales.insert(scales.end(), blocks.scales.begin(), blocks.scales.end());
      bias.insert(bias.end(), part.begin(), part.end());
    }
    layer.out = out * static_cast<std::int64_t>(names.size());
    layer.in = in;
    layer.values.upload(queue_, values);
    layer.scales.upload(queue_, scales);
    layer.bias.upload(queue_, bias);
    settle();
  }

  Status status() const {
    if (failure_) return *failure_;
    return queue_.status();
  }

 private:
  /// The host's copy is read by the time this returns.
  void settle() { (void)queue_.finish(); }

  Int8Blocks int8_blocks(const std::string& name, std::int64_t out, std::int64_t in) {
    if (!status()) return {};
    if (checkpoint_.find(name + ".int8_weight") == nullptr) {
      const std::vector<float> weight = vector(name + ".weight", {out, in});
      return status() ? quantize_int8_blocks(weight.data(), out, in) : Int8Blocks{};
    }
    const Result<const TensorView*> view = checkpoint_.require(name + ".int8_weight", {out, in});
    if (!view) {
      failure_ = view.error();
      return {};
    }
    if (view.value()->dtype != DType::i8 || !view.value()->contiguous()) {
      failure_ = Error{ErrorCode::tensor_shape,
                       concat(checkpoint_.path().string(), ": tensor '", name, ".int8_weight' is ",
                              dtype_name(view.value()->dtype), ", expected dense I8")};
      return {};
    }
    Int8Blocks blocks{out, in, std::vector<std::int8_t>(static_cast<std::size_t>(out * in)), {}};
    std::memcpy(blocks.values.data(), view.value()->data, blocks.values.size());
    blocks.scales = vector(name + ".scale", {int8_block_count(out), int8_block_count(in)});
    return blocks;
  }

  Queue& queue_;
  const Checkpoint& checkpoint_;
  std::optional<Error> failure_;
};

void load_block(Loader& loader, const std::string& prefix, const DenoiserConfig& config, BlockWeights& out) {
  const std::int64_t width = config.width;
  const std::string self = prefix + "self_attn.";
  const std::string cross = prefix + "cross_attn.";
  loader.int8({self + "q", self + "k", self + "v"}, width, width, out.qkv);
  loader.int8({self + "o"}, width, width, out.o);
  loader.upload(self + "norm_q.weight", {width}, out.norm_q);
  loader.upload(self + "norm_k.weight", {width}, out.norm_k);
  if (config.has_sla) {
    const std::string proj_l = self + "attn_op.local_attn.proj_l.";
    loader.upload(proj_l + "weight", {kHeadWidth, kHeadWidth}, out.proj_l);
    loader.upload(proj_l + "bias", {kHeadWidth}, out.bias_l);
  }
  loader.int8({cross + "q"}, width, width, out.cross_q);
  loader.int8({cross + "k", cross + "v"}, width, width, out.cross_kv);
  loader.int8({cross + "o"}, width, width, out.cross_o);
  loader.upload(cross + "norm_q.weight", {width}, out.cross_norm_q);
  loader.upload(cross + "norm_k.weight", {width}, out.cross_norm_k);
  loader.int8({prefix + "ffn.0"}, config.ffn, width, out.ffn_in);
  loader.int8({prefix + "ffn.2"}, width, config.ffn, out.ffn_out);
}

/// norm3's affine form is the modulation's: the norm adds 1 to the gain.
void load_norm3(Queue& queue, Loader& loader, const std::string& prefix, std::int64_t width,
                BlockWeights& out) {
  std::vector<float> gain = loader.vector(prefix + "norm3.weight", {width});
  for (float& value : gain) value -= 1;
  out.gain3.upload(queue, gain);
  (void)queue.finish();
  loader.upload(prefix + "norm3.bias", {width}, out.shift3);
}

Result<std::int64_t> first_size(const Checkpoint& checkpoint, const std::string& name, const Shape& expected,
                                std::size_t dim) {
  const Result<const TensorView*> view = checkpoint.require(name, expected);
  if (!view) return view.error();
  return view.value()->shape[dim];
}

}  // namespace

Result<DenoiserConfig> read_config(const Checkpoint& checkpoint) {
  const auto refused = [&](std::string_view what) {
    return Error{ErrorCode::tensor_shape, concat(checkpoint.path().string(), ": ", what)};
  };
  const Status known = require_architecture(checkpoint, Architecture::turbowan);
  if (!known) return known.error();
  DenoiserConfig config;
  const TensorView* patch = checkpoint.find("patch_embedding.weight");
  if (patch == nullptr || patch->shape.size() < 2) {
    return checkpoint.require("patch_embedding.weight", {-1, -1}).error();
  }
  config.width = patch->shape[0];
  config.in_channels = element_count(patch->shape) / std::max<std::int64_t>(config.width, 1) / kPatchValues;
  config.heads = config.width / kHeadWidth;
  if (config.heads < 1 || config.width % kHeadWidth != 0 || config.width > kMaxWidth) {
    return refused(concat("the model is ", config.width, " wide, expected a multiple of ", kHeadWidth,
                          " up to ", kMaxWidth));
  }
  if (config.in_channels < kLatentChannels || config.in_channels % 2 != 0 ||
      config.width * config.in_channels * kPatchValues != element_count(patch->shape)) {
    return refused(concat("tensor 'patch_embedding.weight' has shape ", shape_text(patch->shape),
                          ", expected 4 values for each of 16 or more channels"));
  }
  const Result<std::int64_t> text = first_size(checkpoint, "text_embedding.0.weight", {config.width, -1}, 1);
  if (!text) return text.error();
  const bool quantised = checkpoint.find("blocks.0.ffn.0.int8_weight") != nullptr;
  const Result<std::int64_t> ffn = first_size(
      checkpoint, quantised ? "blocks.0.ffn.0.int8_weight" : "blocks.0.ffn.0.weight", {-1, config.width}, 0);
  if (!ffn) return ffn.error();
  config.text_width = text.value();
  config.ffn = ffn.value();
  if (config.ffn < kScaleGroup || config.ffn % kScaleGroup != 0 || config.text_width % 8 != 0) {
    return refused(concat("a feed-forward width of ", config.ffn, " and text rows of ", config.text_width,
                          " are not multiples of ", kScaleGroup, " and 8, as the CUDA engine needs"));
  }
  config.layers = count_blocks(checkpoint);
  config.has_sla = checkpoint.find("blocks.0.self_attn.attn_op.local_attn.proj_l.weight") != nullptr;
  return config;
}

std::int64_t weight_bytes(const DenoiserConfig& config) {
  constexpr std::int64_t kFloat = sizeof(float);
  const auto int8 = [](std::int64_t out, std::int64_t in) {
    return out * in + kFloat * (int8_block_count(out) * int8_block_count(in) + out);
  };
  const auto bf16 = [](std::int64_t out, std::int64_t in) { return 2 * out * in + kFloat * out; };
  const std::int64_t width = config.width;
  constexpr std::int64_t kSquareLayers = 8;  // q, k, v and o of both attentions
  constexpr std::int64_t kVectors = 6;       // of norms
  std::int64_t block = kSquareLayers * int8(width, width) + int8(config.ffn, width) +
                       int8(width, config.ffn) + kVectors * kFloat * width;
  if (config.has_sla) block += kFloat * (kHeadWidth * kHeadWidth + kHeadWidth);
  return config.layers * block + bf16(width, config.in_channels * kPatchValues) +
         bf16(width, config.text_width) + bf16(width, width) + bf16(kHeadOutputs, width);
}

Result<TransformerWeights> load_transformer(Queue& queue, const Checkpoint& checkpoint,
                                            const DenoiserConfig& config) {
  TransformerWeights weights;
  weights.config = config;
  const std::int64_t width = weights.config.width;
  Loader loader(queue, checkpoint);
  loader.bf16("patch_embedding", width, weights.config.in_channels * kPatchValues, weights.patch_embedding);
  loader.bf16("text_embedding.0", width, weights.config.text_width, weights.text_in);
  loader.bf16("text_embedding.2", width, width, weights.text_out);
  weights.blocks.resize(static_cast<std::size_t>(weights.config.layers));
  for (std::size_t i = 0; i < weights.blocks.size() && loader.status(); ++i) {
    const std::string prefix = concat("blocks.", i, ".");
    load_block(loader, prefix, weights.config, weights.blocks[i]);
    load_norm3(queue, loader, prefix, width, weights.blocks[i]);
  }
  loader.bf16("head.head", kHeadOutputs, width, weights.head);
  const Status loaded = loader.status();
  if (!loaded) return loaded.error();
  return weights;
}

}  // namespace turboclip::cuda
