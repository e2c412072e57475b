#include "engine/checkpoint/random_checkpoint.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "engine/quant/int8_blocks.h"
#include "engine/sampler/philox.h"
#include "engine/text.h"

namespace turboclip {
namespace {

/// INT8 values repeat after so many: a 14 GB model takes seconds, and no two rows of a matrix are alike.
constexpr std::size_t kInt8Period = (1 << 20) + 7;
/// Of INT8 values that are uniform in [-128, 127].
constexpr float kInt8Deviation = 73.9f;

// Of TurboWan.
constexpr std::int64_t kHeadWidth = 128;
constexpr std::int64_t kFrequencies = 256;  // of the timestep's sinusoid
constexpr std::int64_t kPatchValues = 4;    // a patch is 1 x 2 x 2

void add_residual(RandomCheckpoint& file, const std::string& name, std::int64_t in, std::int64_t out) {
  file.values(name + ".residual.0.gamma", {in, 1, 1, 1}, 1, 0.1f);
  file.layer(name + ".residual.2", {out, in, 3, 3, 3});
  file.values(name + ".residual.3.gamma", {out, 1, 1, 1}, 1, 0.1f);
  file.layer(name + ".residual.6", {out, out, 3, 3, 3});
  if (in != out) file.layer(name + ".shortcut", {out, in, 1, 1, 1});
}

}  // namespace

std::vector<float> RandomCheckpoint::uniform(std::int64_t count, float middle, float spread) {
  std::vector<float> values(static_cast<std::size_t>(count));
  const std::uint32_t seed = seed_++;
  for (std::size_t i = 0; i < values.size(); i += 4) {
    const PhiloxCounter words = philox4x32({static_cast<std::uint32_t>(i / 4), seed, 0, 0}, {1, 2});
    for (std::size_t e = 0; e < 4 && i + e < values.size(); ++e) {
      values[i + e] = middle + spread * (static_cast<float>(words[e] >> 8) * 0x1p-23f - 1.0f);
    }
  }
  return values;
}

void RandomCheckpoint::add(const std::string& name, const Shape& shape, const std::vector<float>& values) {
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  tensors_.push_back({name, DType::f32, shape, {bytes, bytes + sizeof(float) * values.size()}});
}

void RandomCheckpoint::values(const std::string& name, const Shape& shape, float middle, float spread) {
  add(name, shape, uniform(element_count(shape), middle, spread));
}

void RandomCheckpoint::layer(const std::string& name, const Shape& shape, bool bias) {
  const auto inputs = static_cast<float>(element_count(shape) / shape[0]);
  values(name + ".weight", shape, 0, std::sqrt(3.0f / inputs));
  if (bias) values(name + ".bias", {shape[0]}, 0, 0.1f);
}

void RandomCheckpoint::int8_layer(const std::string& name, std::int64_t out, std::int64_t in) {
  NamedBytes weight{name + ".int8_weight", DType::i8, {out, in}, {}};
  weight.bytes.resize(static_cast<std::size_t>(out * in));
  const std::uint32_t seed = seed_++;
  const std::size_t fresh = std::min(kInt8Period, weight.bytes.size());
  for (std::size_t i = 0; i < fresh; i += sizeof(PhiloxCounter)) {
    const PhiloxCounter words =
        philox4x32({static_cast<std::uint32_t>(i / sizeof(PhiloxCounter)), seed, 1, 0}, {1, 2});
    std::memcpy(weight.bytes.data() + i, words.data(), std::min(sizeof words, fresh - i));
  }
  for (std::size_t done = fresh; done < weight.bytes.size(); done += fresh) {
    std::memcpy(weight.bytes.data() + done, weight.bytes.data(), std::min(fresh, weight.bytes.size() - done));
  }
  tensors_.push_back(std::move(weight));
  const float size = 1 / (kInt8Deviation * std::sqrt(static_cast<float>(in)));
  values(name + ".scale", {int8_block_count(out), int8_block_count(in)}, size, size / 4);
  values(name + ".bias", {out}, 0, 0.1f);
}

Status RandomCheckpoint::save(const std::filesystem::path& path) && {
  return write_safetensors(path, std::move(tensors_));
}

RandomCheckpoint random_transformer(const DenoiserConfig& config, bool int8) {
  RandomCheckpoint file;
  const std::int64_t width = config.width;
  const auto linear = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    if (int8) return file.int8_layer(name, out, in);
    file.layer(name, {out, in});
  };
  file.layer("patch_embedding", {width, config.in_channels * kPatchValues});
  file.layer("text_embedding.0", {width, config.text_width});
  file.layer("text_embedding.2", {width, width});
  file.layer("time_embedding.0", {width, kFrequencies});
  file.layer("time_embedding.2", {width, width});
  file.layer("time_projection.1", {6 * width, width});
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string block = concat("blocks.", i, ".");
    file.values(block + "modulation", {1, 6, width}, 0, 0.5f);
    for (const char* attention : {"self_attn.", "cross_attn."}) {
      for (const char* name : {"q", "k", "v", "o"}) linear(block + attention + name, width, width);
      for (const char* name : {"norm_q", "norm_k"})
        file.values(block + attention + name + ".weight", {width}, 1, 0.2f);
    }
    if (config.has_sla) {
      file.layer(block + "self_attn.attn_op.local_attn.proj_l", {kHeadWidth, kHeadWidth});
    }
    file.values(block + "norm3.weight", {width}, 1, 0.2f);
    file.values(block + "norm3.bias", {width}, 0, 0.1f);
    linear(block + "ffn.0", config.ffn, width);
    linear(block + "ffn.2", width, config.ffn);
  }
  file.values("head.modulation", {1, 2, width}, 0, 0.5f);
  file.layer("head.head", {kLatentChannels * kPatchValues, width});
  return file;
}

RandomCheckpoint random_vae(std::int64_t width) {
  RandomCheckpoint file;
  const std::int64_t top = 4 * width;
  file.layer("conv2", {kLatentChannels, kLatentChannels, 1, 1, 1});
  file.layer("decoder.conv1", {top, kLatentChannels, 3, 3, 3});
  add_residual(file, "decoder.middle.0", top, top);
  file.values("decoder.middle.1.norm.gamma", {top, 1, 1}, 1, 0.1f);
  file.layer("decoder.middle.1.to_qkv", {3 * top, top, 1, 1});
  file.layer("decoder.middle.1.proj", {top, top, 1, 1});
  add_residual(file, "decoder.middle.2", top, top);
  struct Level {
    std::int64_t in, width;
    bool space, time;
  };
  int at = 0;
  const auto next = [&] { return concat("decoder.upsamples.", at++); };
  for (const Level& level : {Level{top, top, true, true}, Level{2 * width, top, true, true},
                             Level{2 * width, 2 * width, true, false}, Level{width, width, false, false}}) {
    for (int i = 0; i < 3; ++i) add_residual(file, next(), i == 0 ? level.in : level.width, level.width);
    if (!level.space) continue;
    const std::string name = next();
    file.layer(name + ".resample.1", {level.width / 2, level.width, 3, 3});
    if (level.time) file.layer(name + ".time_conv", {2 * level.width, level.width, 3, 1, 1});
  }
  file.values("decoder.head.0.gamma", {width, 1, 1, 1}, 1, 0.1f);
  file.layer("decoder.head.2", {3, width, 3, 3, 3});
  return file;
}

RandomCheckpoint random_taehv(const std::array<std::int64_t, 4>& widths) {
  RandomCheckpoint file;
  const auto name = [](int number) { return concat("decoder.", number); };
  file.layer(name(1), {widths[0], kLatentChannels, 3, 3});
  struct Level {
    int memory, grow;
    std::int64_t stride;
  };
  constexpr Level kLevels[] = {{3, 7, 1}, {9, 13, 2}, {15, 19, 2}};
  for (std::size_t l = 0; l < 3; ++l) {
    const Level& level = kLevels[l];
    const std::int64_t width = widths[l];
    for (int i = level.memory; i < level.memory + 3; ++i) {
      file.layer(name(i) + ".conv.0", {width, 2 * width, 3, 3});
      file.layer(name(i) + ".conv.2", {width, width, 3, 3});
      file.layer(name(i) + ".conv.4", {width, width, 3, 3});
    }
    file.layer(name(level.grow) + ".conv", {level.stride * width, width, 1, 1}, false);
    file.layer(name(level.grow + 1), {widths[l + 1], width, 3, 3}, false);
  }
  file.layer(name(22), {3, widths[3], 3, 3});
  return file;
}

RandomCheckpoint random_umt5(const Umt5Config& config) {
  RandomCheckpoint file;
  const auto [vocabulary, width, inner, heads, ffn, layers] = config;
  file.values("token_embedding.weight", {vocabulary, width}, 0, 1.7f);
  for (std::int64_t i = 0; i < layers; ++i) {
    const std::string block = concat("blocks.", i, ".");
    for (const char* norm : {"norm1", "norm2"}) file.values(block + norm + ".weight", {width}, 1, 0.3f);
    const auto head = static_cast<float>(inner / heads);
    file.values(block + "attn.q.weight", {inner, width}, 0,
                std::sqrt(3.0f / (static_cast<float>(width) * head)));
    for (const char* name : {"attn.k", "attn.v"}) file.layer(block + name, {inner, width}, false);
    file.layer(block + "attn.o", {width, inner}, false);
    for (const char* name : {"ffn.gate.0", "ffn.fc1"}) file.layer(block + name, {ffn, width}, false);
    file.layer(block + "ffn.fc2", {width, ffn}, false);
    file.values(block + "pos_embedding.embedding.weight", {kPositionBuckets, heads}, 0, 1);
  }
  file.values("norm.weight", {width}, 1, 0.3f);
  return file;
}

}  // namespace turboclip
