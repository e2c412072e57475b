// The same weights under each naming that the world has for them. The renamings here are written as the
// converters of Diffusers and Transformers are, by search and replace, so that they do not repeat the table.
#include "engine/checkpoint/names.h"

#include "check.h"
#include "cpu/reference.h"
#include "engine/backend.h"
#include "resaved.h"
#include "support.h"

namespace turboclip::test {
namespace {

using Rename = std::function<std::string(std::string)>;

void replace(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

void replace_all(std::string& text, const std::vector<std::pair<std::string, std::string>>& rules) {
  for (const auto& [from, to] : rules) replace(text, from, to);
}

std::string diffusers_transformer(std::string name) {
  replace_all(name, {{"time_embedding.0", "condition_embedder.time_embedder.linear_1"},
                     {"time_embedding.2", "condition_embedder.time_embedder.linear_2"},
                     {"text_embedding.0", "condition_embedder.text_embedder.linear_1"},
                     {"text_embedding.2", "condition_embedder.text_embedder.linear_2"},
                     {"time_projection.1", "condition_embedder.time_proj"},
                     {"head.modulation", "scale_shift_table"},
                     {"head.head", "proj_out"},
                     {"modulation", "scale_shift_table"},
                     {"ffn.0", "ffn.net.0.proj"},
                     {"ffn.2", "ffn.net.2"},
                     {"norm3", "norm2"},
                     {"self_attn.", "attn1."},
                     {"cross_attn.", "attn2."}});
  for (const std::string attention : {"attn1.", "attn2."}) {
    for (const std::string part : {"q.", "k.", "v."}) {
      replace(name, attention + part, attention + "to_" + part);
    }
    replace(name, attention + "o.", attention + "to_out.0.");
  }
  return name;
}

std::string diffusers_vae(std::string name) {
  const bool of_coder = name.starts_with("encoder.") || name.starts_with("decoder.");
  if (!of_coder) {
    replace_all(name, {{"conv1", "quant_conv"}, {"conv2", "post_quant_conv"}});
    return name;
  }
  replace_all(name, {{"coder.conv1", "coder.conv_in"},
                     {"head.0", "norm_out"},
                     {"head.2", "conv_out"},
                     {"residual.0", "norm1"},
                     {"residual.2", "conv1"},
                     {"residual.3", "norm2"},
                     {"residual.6", "conv2"},
                     {"shortcut", "conv_shortcut"},
                     {"middle.0", "mid_block.resnets.0"},
                     {"middle.1", "mid_block.attentions.0"},
                     {"middle.2", "mid_block.resnets.1"},
                     {"downsamples", "down_blocks"}});
  const std::string upsamples = "decoder.upsamples.";
  if (name.starts_with(upsamples)) {
    const int index = std::stoi(name.substr(upsamples.size()));
    const std::string part = index % 4 == 3 ? "upsamplers.0" : "resnets." + std::to_string(index % 4);
    replace(name, upsamples + std::to_string(index) + ".",
            "decoder.up_blocks." + std::to_string(index / 4) + "." + part + ".");
  }
  return name;
}

std::string transformers_umt5(std::string name) {
  replace_all(name, {{"token_embedding", "shared"}, {"blocks.", "encoder.block."}});
  if (name == "norm.weight") return "encoder.final_layer_norm.weight";
  replace_all(name, {{"norm1", "layer.0.layer_norm"},
                     {"norm2", "layer.1.layer_norm"},
                     {"attn.", "layer.0.SelfAttention."},
                     {"pos_embedding.embedding", "layer.0.SelfAttention.relative_attention_bias"},
                     {"ffn.gate.0", "layer.1.DenseReluDense.wi_0"},
                     {"ffn.fc1", "layer.1.DenseReluDense.wi_1"},
                     {"ffn.fc2", "layer.1.DenseReluDense.wo"}});
  return name;
}

Rename under(const std::string& prefix) {
  return [prefix](const std::string& name) { return prefix + name; };
}

std::string wrapped(std::string name) {
  replace_all(name, {{"blocks.0.", "blocks.0._checkpoint_wrapped_module."},
                     {"head.", "head._checkpoint_wrapped_module."}});
  return name;
}

Checkpoint open_fixture(const std::string& name) {
  return std::move(Checkpoint::open(fixture("golden/" + name))).value();
}

/// The fixture renamed; `change` may do more to each tensor.
Result<Checkpoint> renamed(const TemporaryFolder& folder, const std::string& name, const Rename& rename,
                           const std::function<void(NamedBytes&)>& change = {}) {
  const std::filesystem::path path = folder.path() / "renamed.safetensors";
  std::size_t changed = 0;
  resave(open_fixture(name), path, [&](NamedBytes& tensor) {
    const std::string before = tensor.name;
    tensor.name = rename(before);
    if (tensor.name != before) ++changed;
    if (change) change(tensor);
  });
  CHECK(changed > 0);
  return Checkpoint::open(path);
}

Error refusal(const Result<Checkpoint>& opened) { return opened ? Error{} : opened.error(); }

std::vector<float> velocity(const Checkpoint& checkpoint) {
  const auto backend = make_cpu_backend({1});
  auto denoiser = backend->load_denoiser(checkpoint);
  if (!denoiser) return record_failure(__FILE__, __LINE__, denoiser.error().message), std::vector<float>();
  Tensor text({9, (*denoiser)->config().text_width});
  text.values = random_values(element_count(text.shape), 4);
  Tensor x({16, 2, 8, 10});
  x.values = random_values(element_count(x.shape), 5);
  const CancelFlag cancel;
  CHECK((*denoiser)->begin_clip({2, 8, 10}, {text, {}}, {Attention::sla, 0.3}, cancel).ok());
  return (*denoiser)->velocity(x, 932.0, cancel, {}, {})->values;
}

std::vector<float> video(const Checkpoint& checkpoint) {
  const auto backend = make_cpu_backend({1});
  auto decoder = backend->load_video_decoder(checkpoint);
  if (!decoder) return record_failure(__FILE__, __LINE__, decoder.error().message), std::vector<float>();
  Tensor z({16, 2, 3, 4});
  z.values = random_values(element_count(z.shape), 6);
  std::vector<float> frames;
  const FrameSink sink = [&](std::int64_t, const Tensor& rgb) {
    frames.insert(frames.end(), rgb.values.begin(), rgb.values.end());
    return success();
  };
  CHECK((*decoder)->decode(z, sink, CancelFlag{}, {}).ok());
  return frames;
}

std::vector<float> embedding(const Checkpoint& checkpoint) {
  const auto backend = make_cpu_backend({1});
  auto encoder = backend->load_text_encoder(checkpoint);
  if (!encoder) return record_failure(__FILE__, __LINE__, encoder.error().message), std::vector<float>();
  const std::int32_t ids[] = {5, 300, 6, 1};
  return (*encoder)->encode(ids, CancelFlag{}, {})->values;
}

/// `compute` gives the same bytes from the fixture and from it renamed.
void check_same(const std::string& name, const Result<Checkpoint>& other,
                std::vector<float> (*compute)(const Checkpoint&)) {
  if (!other) return record_failure(__FILE__, __LINE__, other.error().message);
  const std::vector<float> expected = compute(open_fixture(name));
  CHECK(!expected.empty() && compute(other.value()) == expected);
}

TEST("a transformer gives the same bytes under its official, Diffusers and ComfyUI names and saved wrapped") {
  const TemporaryFolder folder;
  for (const Rename& rename :
       {Rename(diffusers_transformer), under("model.diffusion_model."), under("diffusion_model."),
        Rename(wrapped),
        Rename([](const std::string& name) { return "diffusion_model." + wrapped(name); })}) {
    check_same("wan_t2v.pth", renamed(folder, "wan_t2v.pth", rename), velocity);
  }
}

TEST("proj_l may stand under the name that FastVideo's files have for it") {
  const TemporaryFolder folder;
  const Rename rename = [](const std::string& name) {
    std::string out = diffusers_transformer(name);
    replace(out, "attn_op.local_attn.proj_l", "attn_impl.proj_l");
    return out;
  };
  check_same("wan_t2v.pth", renamed(folder, "wan_t2v.pth", rename), velocity);
}

TEST("a patch embedding that is kept as a 3-D convolution is the same linear layer") {
  const TemporaryFolder folder;
  const Result<Checkpoint> other =
      renamed(folder, "wan_t2v.pth", diffusers_transformer, [](NamedBytes& tensor) {
        if (tensor.name == "patch_embedding.weight") tensor.shape = {tensor.shape[0], 16, 1, 2, 2};
      });
  CHECK(other.ok() && other.value().find("patch_embedding.weight")->shape == (Shape{256, 64}));
  check_same("wan_t2v.pth", other, velocity);
}

TEST("a VAE gives the same bytes under Diffusers' names") {
  const TemporaryFolder folder;
  check_same("wan_vae.pth", renamed(folder, "wan_vae.pth", diffusers_vae), video);
}

TEST("a umT5 gives the same bytes under Transformers' names, its embedding there once, twice or tied") {
  const TemporaryFolder folder;
  check_same("umt5.pth", renamed(folder, "umt5.pth", transformers_umt5), embedding);
  const Rename only_tied = [](const std::string& name) {
    return name == "token_embedding.weight" ? "encoder.embed_tokens.weight" : transformers_umt5(name);
  };
  check_same("umt5.pth", renamed(folder, "umt5.pth", only_tied), embedding);
  std::vector<NamedBytes> tensors{{"spiece_model", DType::u8, {3}, std::vector<std::byte>(3)}};
  const Checkpoint original = open_fixture("umt5.pth");
  for (const auto& [name, view] : original.tensors()) {
    tensors.push_back(stored(transformers_umt5(name), view));
    if (name == "token_embedding.weight") tensors.push_back(stored("encoder.embed_tokens.weight", view));
  }
  const auto path = folder.path() / "comfy.safetensors";
  CHECK(write_safetensors(path, tensors).ok());
  check_same("umt5.pth", Checkpoint::open(path), embedding);
}

TEST("every renaming gives back every official name") {
  const TemporaryFolder folder;
  for (const auto& [name, rename] : {std::pair<std::string, Rename>{"wan_t2v.pth", diffusers_transformer},
                                     {"wan_vae.pth", diffusers_vae},
                                     {"umt5.pth", transformers_umt5}}) {
    const Result<Checkpoint> other = renamed(folder, name, rename);
    if (!other) return record_failure(__FILE__, __LINE__, other.error().message);
    const Checkpoint original = open_fixture(name);
    CHECK_EQUAL(other.value().tensors().size(), original.tensors().size());
    for (const auto& [official, view] : original.tensors()) {
      const TensorView* found = other.value().find(official);
      CHECK(found != nullptr && found->shape == view.shape);
    }
  }
}

TEST("a tensor that the model does not have is named, and so is the model") {
  const TemporaryFolder folder;
  const auto with = [&](const std::string& fixture_name, const std::string& from, const std::string& to) {
    return refusal(renamed(folder, fixture_name, [&](std::string name) { return name == from ? to : name; }));
  };
  const std::string bias = "blocks.1.ffn.2.bias";
  for (const std::string strange : {"img_emb.proj.0.bias", "blocks.1.ffn.3.bias", "blocks.01.ffn.2.bias",
                                    "blocks.1.ffn.2.bias.lora", "blocks..ffn.2.bias", "blocks.1.ffn.2"}) {
    const Error error = with("wan_t2v.pth", bias, strange);
    CHECK(error.code == ErrorCode::architecture_unknown);
    CHECK(mentions(error.message, {"renamed.safetensors", "a TurboWan transformer", "'" + strange + "'"}));
  }
  CHECK(mentions(with("wan_vae.pth", "decoder.head.2.bias", "decoder.head.3.bias").message,
                 {"a Wan VAE", "'decoder.head.3.bias'"}));
  CHECK(mentions(with("umt5.pth", "norm.weight", "lm_head.weight").message,
                 {"a umT5 text encoder", "'lm_head.weight'"}));
}

TEST("a tensor that stands there under two of its names is an error with both") {
  const TemporaryFolder folder;
  const Error error = refusal(renamed(folder, "wan_t2v.pth", [](const std::string& name) -> std::string {
    return name == "blocks.0.norm3.weight" ? "diffusion_model.blocks.0.norm3.bias" : name;
  }));
  CHECK(error.code == ErrorCode::format_invalid);
  CHECK(mentions(error.message, {"'blocks.0.norm3.bias'", "'diffusion_model.blocks.0.norm3.bias'"}));
}

TEST("the layers that are quantised are the blocks' own linear ones, but for proj_l") {
  const std::vector<std::string> expected{
      "blocks.7.self_attn.q",  "blocks.7.self_attn.k",  "blocks.7.self_attn.v",  "blocks.7.self_attn.o",
      "blocks.7.cross_attn.q", "blocks.7.cross_attn.k", "blocks.7.cross_attn.v", "blocks.7.cross_attn.o",
      "blocks.7.ffn.0",        "blocks.7.ffn.2"};
  CHECK(int8_layers(7) == expected);
}

}  // namespace
}  // namespace turboclip::test
