#include "engine/checkpoint/names.h"

#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "engine/checkpoint/architecture.h"
#include "engine/text.h"

namespace turboclip {
namespace {

using TensorMap = std::map<std::string, TensorView, std::less<>>;

/// What a layer's name stands for: one tensor, or some that hang below it.
enum class Holds { itself, weight, weight_and_bias, gamma, int8_linear };

struct LayerNames {
  std::string_view official;
  std::string_view diffusers;
  Holds holds;
};

/// Layers below a prefix, in which '#' is a number.
struct GroupNames {
  std::string_view official;
  std::string_view diffusers;
  std::span<const LayerNames> layers;
};

struct ModelNames {
  Architecture architecture;
  std::span<const GroupNames> groups;
};

// TurboWan. Diffusers' names: scripts/convert_wan_to_diffusers.py there, and for proj_l those that
// converters of TurboWan chose after it.

constexpr LayerNames kTransformer[] = {
    {"patch_embedding", "patch_embedding", Holds::weight_and_bias},
    {"text_embedding.0", "condition_embedder.text_embedder.linear_1", Holds::weight_and_bias},
    {"text_embedding.2", "condition_embedder.text_embedder.linear_2", Holds::weight_and_bias},
    {"time_embedding.0", "condition_embedder.time_embedder.linear_1", Holds::weight_and_bias},
    {"time_embedding.2", "condition_embedder.time_embedder.linear_2", Holds::weight_and_bias},
    {"time_projection.1", "condition_embedder.time_proj", Holds::weight_and_bias},
    {"head.modulation", "scale_shift_table", Holds::itself},
    {"head.head", "proj_out", Holds::weight_and_bias},
};
constexpr LayerNames kTransformerBlock[] = {
    {"modulation", "scale_shift_table", Holds::itself},
    {"self_attn.q", "attn1.to_q", Holds::int8_linear},
    {"self_attn.k", "attn1.to_k", Holds::int8_linear},
    {"self_attn.v", "attn1.to_v", Holds::int8_linear},
    {"self_attn.o", "attn1.to_out.0", Holds::int8_linear},
    {"self_attn.norm_q", "attn1.norm_q", Holds::weight},
    {"self_attn.norm_k", "attn1.norm_k", Holds::weight},
    {"self_attn.attn_op.local_attn.proj_l", "attn1.attn_op.local_attn.proj_l", Holds::weight_and_bias},
    {"self_attn.attn_op.local_attn.proj_l", "attn1.attn_impl.proj_l", Holds::weight_and_bias},
    // Diffusers counts the norms in the order in which they run.
    {"norm3", "norm2", Holds::weight_and_bias},
    {"cross_attn.q", "attn2.to_q", Holds::int8_linear},
    {"cross_attn.k", "attn2.to_k", Holds::int8_linear},
    {"cross_attn.v", "attn2.to_v", Holds::int8_linear},
    {"cross_attn.o", "attn2.to_out.0", Holds::int8_linear},
    {"cross_attn.norm_q", "attn2.norm_q", Holds::weight},
    {"cross_attn.norm_k", "attn2.norm_k", Holds::weight},
    {"ffn.0", "ffn.net.0.proj", Holds::int8_linear},
    {"ffn.2", "ffn.net.2", Holds::int8_linear},
};
constexpr GroupNames kTransformerGroups[] = {{"", "", kTransformer},
                                             {"blocks.#.", "blocks.#.", kTransformerBlock}};

// Wan's VAE. Diffusers numbers the encoder's stages as the official file does, and the decoder's by level.

constexpr LayerNames kVae[] = {
    {"conv1", "quant_conv", Holds::weight_and_bias},
    {"conv2", "post_quant_conv", Holds::weight_and_bias},
};
constexpr LayerNames kVaeEnds[] = {
    {"conv1", "conv_in", Holds::weight_and_bias},
    {"head.0", "norm_out", Holds::gamma},
    {"head.2", "conv_out", Holds::weight_and_bias},
};
constexpr LayerNames kVaeStage[] = {
    {"residual.0", "norm1", Holds::gamma},
    {"residual.2", "conv1", Holds::weight_and_bias},
    {"residual.3", "norm2", Holds::gamma},
    {"residual.6", "conv2", Holds::weight_and_bias},
    {"shortcut", "conv_shortcut", Holds::weight_and_bias},
    {"resample.1", "resample.1", Holds::weight_and_bias},
    {"time_conv", "time_conv", Holds::weight_and_bias},
};
constexpr LayerNames kVaeAttention[] = {
    {"norm", "norm", Holds::gamma},
    {"to_qkv", "to_qkv", Holds::weight_and_bias},
    {"proj", "proj", Holds::weight_and_bias},
};
constexpr GroupNames kVaeGroups[] = {
    {"", "", kVae},
    {"encoder.", "encoder.", kVaeEnds},
    {"encoder.downsamples.#.", "encoder.down_blocks.#.", kVaeStage},
    {"encoder.middle.0.", "encoder.mid_block.resnets.0.", kVaeStage},
    {"encoder.middle.1.", "encoder.mid_block.attentions.0.", kVaeAttention},
    {"encoder.middle.2.", "encoder.mid_block.resnets.1.", kVaeStage},
    {"decoder.", "decoder.", kVaeEnds},
    {"decoder.middle.0.", "decoder.mid_block.resnets.0.", kVaeStage},
    {"decoder.middle.1.", "decoder.mid_block.attentions.0.", kVaeAttention},
    {"decoder.middle.2.", "decoder.mid_block.resnets.1.", kVaeStage},
    {"decoder.upsamples.0.", "decoder.up_blocks.0.resnets.0.", kVaeStage},
    {"decoder.upsamples.1.", "decoder.up_blocks.0.resnets.1.", kVaeStage},
    {"decoder.upsamples.2.", "decoder.up_blocks.0.resnets.2.", kVaeStage},
    {"decoder.upsamples.3.", "decoder.up_blocks.0.upsamplers.0.", kVaeStage},
    {"decoder.upsamples.4.", "decoder.up_blocks.1.resnets.0.", kVaeStage},
    {"decoder.upsamples.5.", "decoder.up_blocks.1.resnets.1.", kVaeStage},
    {"decoder.upsamples.6.", "decoder.up_blocks.1.resnets.2.", kVaeStage},
    {"decoder.upsamples.7.", "decoder.up_blocks.1.upsamplers.0.", kVaeStage},
    {"decoder.upsamples.8.", "decoder.up_blocks.2.resnets.0.", kVaeStage},
    {"decoder.upsamples.9.", "decoder.up_blocks.2.resnets.1.", kVaeStage},
    {"decoder.upsamples.10.", "decoder.up_blocks.2.resnets.2.", kVaeStage},
    {"decoder.upsamples.11.", "decoder.up_blocks.2.upsamplers.0.", kVaeStage},
    {"decoder.upsamples.12.", "decoder.up_blocks.3.resnets.0.", kVaeStage},
    {"decoder.upsamples.13.", "decoder.up_blocks.3.resnets.1.", kVaeStage},
    {"decoder.upsamples.14.", "decoder.up_blocks.3.resnets.2.", kVaeStage},
};

// umT5. The other names are those of UMT5EncoderModel in Transformers, which ComfyUI's files have too.

constexpr LayerNames kUmt5[] = {
    {"token_embedding", "shared", Holds::weight},
    {"token_embedding", "encoder.embed_tokens", Holds::weight},
    {"norm", "encoder.final_layer_norm", Holds::weight},
};
constexpr LayerNames kUmt5Block[] = {
    {"norm1", "layer.0.layer_norm", Holds::weight},
    {"attn.q", "layer.0.SelfAttention.q", Holds::weight},
    {"attn.k", "layer.0.SelfAttention.k", Holds::weight},
    {"attn.v", "layer.0.SelfAttention.v", Holds::weight},
    {"attn.o", "layer.0.SelfAttention.o", Holds::weight},
    {"pos_embedding.embedding", "layer.0.SelfAttention.relative_attention_bias", Holds::weight},
    {"norm2", "layer.1.layer_norm", Holds::weight},
    {"ffn.gate.0", "layer.1.DenseReluDense.wi_0", Holds::weight},
    {"ffn.fc1", "layer.1.DenseReluDense.wi_1", Holds::weight},
    {"ffn.fc2", "layer.1.DenseReluDense.wo", Holds::weight},
};
constexpr GroupNames kUmt5Groups[] = {{"", "", kUmt5}, {"blocks.#.", "encoder.block.#.", kUmt5Block}};

constexpr ModelNames kModels[] = {
    {Architecture::turbowan, kTransformerGroups},
    {Architecture::wan_vae, kVaeGroups},
    {Architecture::umt5, kUmt5Groups},
};

/// ComfyUI puts the transformer below one of these.
constexpr std::string_view kComfyPrefixes[] = {"model.diffusion_model.", "diffusion_model."};
/// torch's activation checkpointing leaves this in the names of a module that was saved while wrapped.
constexpr std::string_view kWrapper = "_checkpoint_wrapped_module.";
/// The tokenizer's model, which ComfyUI packs into the text encoder's file.
constexpr std::string_view kPackedTokenizer = "spiece_model";

/// Transformers may save the embedding under both of the names that it ties together.
constexpr std::string_view kEmbedding = "shared.weight";
constexpr std::string_view kTiedEmbedding = "encoder.embed_tokens.weight";

constexpr std::string_view kPatchEmbedding = "patch_embedding.weight";

/// Takes `prefix` off the front of `name`; its '#' takes the digits of a number without leading zeros.
bool take_prefix(std::string_view& name, std::string_view prefix, std::string_view& number) {
  const std::size_t mark = prefix.find('#');
  if (!name.starts_with(prefix.substr(0, mark))) return false;
  if (mark == std::string_view::npos) {
    name.remove_prefix(prefix.size());
    return true;
  }
  std::string_view rest = name.substr(mark);
  std::size_t digits = 0;
  while (digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9') ++digits;
  if (digits == 0 || (digits > 1 && rest[0] == '0')) return false;
  number = rest.substr(0, digits);
  rest.remove_prefix(digits);
  const std::string_view after = prefix.substr(mark + 1);
  if (!rest.starts_with(after)) return false;
  name = rest.substr(after.size());
  return true;
}

bool is_held(Holds holds, std::string_view leaf) {
  switch (holds) {
    case Holds::itself:
      return leaf.empty();
    case Holds::weight:
      return leaf == ".weight";
    case Holds::weight_and_bias:
      return leaf == ".weight" || leaf == ".bias";
    case Holds::gamma:
      return leaf == ".gamma";
    case Holds::int8_linear:
      return leaf == ".weight" || leaf == ".int8_weight" || leaf == ".scale" || leaf == ".bias";
  }
  return false;
}

/// The official name of a tensor that either naming may have named.
std::optional<std::string> official_name(const ModelNames& model, std::string_view name) {
  for (const GroupNames& group : model.groups) {
    for (const auto& [prefix, side] : {std::pair{group.official, &LayerNames::official},
                                       std::pair{group.diffusers, &LayerNames::diffusers}}) {
      std::string_view rest = name;
      std::string_view number;
      if (!take_prefix(rest, prefix, number)) continue;
      for (const LayerNames& layer : group.layers) {
        const std::string_view own = layer.*side;
        if (!rest.starts_with(own) || !is_held(layer.holds, rest.substr(own.size()))) continue;
        std::string out(group.official);
        if (const std::size_t mark = out.find('#'); mark != std::string::npos) out.replace(mark, 1, number);
        return out.append(layer.official).append(rest.substr(own.size()));
      }
    }
  }
  return std::nullopt;
}

/// Without what wrappers and ComfyUI put around it.
std::string plain_name(std::string_view name) {
  for (const std::string_view prefix : kComfyPrefixes) {
    if (!name.starts_with(prefix)) continue;
    name.remove_prefix(prefix.size());
    break;
  }
  std::string plain(name);
  for (std::size_t at = plain.find(kWrapper); at != std::string::npos; at = plain.find(kWrapper, at)) {
    plain.erase(at, kWrapper.size());
  }
  return plain;
}

const ModelNames* recognise(const TensorMap& tensors) {
  for (const ModelNames& model : kModels) {
    const std::string_view signature = signature_of(model.architecture).tensor;
    for (const auto& [name, view] : tensors) {
      if (official_name(model, plain_name(name)) == signature) return &model;
    }
  }
  return nullptr;
}

/// A dense convolution whose stride is its kernel is a linear layer of each patch's values.
void flatten_patch_embedding(TensorMap& tensors) {
  const auto found = tensors.find(kPatchEmbedding);
  if (found == tensors.end()) return;
  TensorView& view = found->second;
  if (view.shape.size() != 5 || view.shape[0] == 0 || !view.contiguous()) return;
  const std::int64_t values = element_count(view.shape) / view.shape[0];
  view.shape = {view.shape[0], values};
  view.strides = {values, 1};
}

Error foreign_tensor(const std::filesystem::path& path, const ModelNames& model, std::string_view name) {
  return Error{ErrorCode::architecture_unknown,
               concat(path.string(), ": holds ", signature_of(model.architecture).description,
                      " and a tensor ", in_quotes(name),
                      ", which that does not have under its official, Diffusers or ComfyUI names; use a "
                      "checkpoint of a model that this engine knows")};
}

}  // namespace

Result<TensorMap> with_official_names(TensorMap tensors, const std::filesystem::path& path) {
  const ModelNames* model = recognise(tensors);
  if (model == nullptr) return tensors;
  TensorMap out;
  std::map<std::string, std::string_view> sources;  // official name to the file's
  for (auto& [name, view] : tensors) {
    if (name == kPackedTokenizer || (name == kTiedEmbedding && tensors.contains(kEmbedding))) continue;
    const std::optional<std::string> official = official_name(*model, plain_name(name));
    if (!official) return foreign_tensor(path, *model, name);
    const auto [source, is_new] = sources.emplace(*official, name);
    if (!is_new) {
      return Error{ErrorCode::format_invalid,
                   concat(path.string(), ": tensors ", in_quotes(source->second), " and ", in_quotes(name),
                          " are the same one, ", in_quotes(*official), "; save it anew with one of them")};
    }
    out.emplace(*official, view);
  }
  flatten_patch_embedding(out);
  return out;
}

std::vector<std::string> int8_layers(std::int64_t block) {
  std::vector<std::string> names;
  for (const LayerNames& layer : kTransformerBlock) {
    if (layer.holds == Holds::int8_linear) names.push_back(concat("blocks.", block, ".", layer.official));
  }
  return names;
}

}  // namespace turboclip
