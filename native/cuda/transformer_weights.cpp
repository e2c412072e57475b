#include "cuda/transformer_weights.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "cuda/block_weights.h"
#include "cuda/latent.h"
#include "cuda/tensor_reader.h"
#include "engine/checkpoint/architecture.h"
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

class Loader : public TensorReader {
 public:
  using TensorReader::TensorReader;

  /// As stored, where it is stored so.
  std::vector<Bf16> halves(const std::string& name, const Shape& shape) {
    const TensorView* view = checkpoint_.find(name);
    if (!status() || view == nullptr || view->dtype != DType::bf16 || view->shape != shape) {
      return to_bf16(vector(name, shape));
    }
    const std::vector<std::byte> bytes = row_major_bytes(*view);
    std::vector<Bf16> out(bytes.size() / sizeof(Bf16));
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }

  void bf16(const std::string& name, std::int64_t out, std::int64_t in, Bf16Layer& layer) {
    const TensorView* view = checkpoint_.find(name + ".weight");
    // A convolution's weight has its patch as trailing sizes.
    Shape shape{out, in};
    if (view != nullptr && view->shape.size() > 2 && element_count(view->shape) == out * in)
      shape = view->shape;
    layer.out = out;
    layer.in = in;
    layer.values.upload(queue_, halves(name + ".weight", shape));
    layer.bias.upload(queue_, vector(name + ".bias", {out}));
    settle();
  }

 private:
  /// The host's copy is read by the time this returns.
  void settle() { (void)queue_.finish(); }
};

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

std::int64_t embedding_bytes(const DenoiserConfig& config) {
  const auto bf16 = [](std::int64_t out, std::int64_t in) {
    return 2 * out * in + static_cast<std::int64_t>(sizeof(float)) * out;
  };
  const std::int64_t width = config.width;
  return bf16(width, config.in_channels * kPatchValues) + bf16(width, config.text_width) +
         bf16(width, width) + bf16(kHeadOutputs, width);
}

std::int64_t weight_bytes(const DenoiserConfig& config) {
  return config.layers * block_bytes(config).all() + embedding_bytes(config);
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
  loader.bf16("head.head", kHeadOutputs, width, weights.head);
  const Status loaded = loader.status();
  if (!loaded) return loaded.error();
  return weights;
}

}  // namespace turboclip::cuda
