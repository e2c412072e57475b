// A umT5 checkpoint of random weights, under the official names.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "cpu/reference.h"
#include "engine/checkpoint.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/sampler/rcm.h"
#include "engine/umt5_config.h"
#include "support.h"

namespace turboclip::test {

/// bfloat16 values in float32, as large as they are for activations to keep their size.
class RandomUmt5 {
 public:
  explicit RandomUmt5(const Umt5Config& config, std::uint64_t seed = 1) : seed_(seed) {
    const auto fan_in = [](std::int64_t in) { return std::sqrt(3.0f / static_cast<float>(in)); };
    add("token_embedding.weight", {config.vocabulary, config.width}, 1.7f);
    add("norm.weight", {config.width}, 0.3f, 1);
    for (std::int64_t i = 0; i < config.layers; ++i) {
      const std::string block = "blocks." + std::to_string(i) + ".";
      const auto heads = static_cast<float>(config.inner / config.heads);
      add(block + "norm1.weight", {config.width}, 0.3f, 1);
      add(block + "norm2.weight", {config.width}, 0.3f, 1);
      // Scores are not scaled, so q is.
      add(block + "attn.q.weight", {config.inner, config.width}, fan_in(config.width) / std::sqrt(heads));
      add(block + "attn.k.weight", {config.inner, config.width}, fan_in(config.width));
      add(block + "attn.v.weight", {config.inner, config.width}, fan_in(config.width));
      add(block + "attn.o.weight", {config.width, config.inner}, fan_in(config.inner));
      add(block + "ffn.gate.0.weight", {config.ffn, config.width}, fan_in(config.width));
      add(block + "ffn.fc1.weight", {config.ffn, config.width}, fan_in(config.width));
      add(block + "ffn.fc2.weight", {config.width, config.ffn}, fan_in(config.ffn));
      add(block + "pos_embedding.embedding.weight", {kPositionBuckets, config.heads}, 1);
    }
  }

  Checkpoint save(const TemporaryFolder& folder) const {
    const std::filesystem::path path = folder.path() / "umt5.safetensors";
    CHECK(write_safetensors(path, tensors_).ok());
    Result<Checkpoint> file = Checkpoint::open(path);
    CHECK(file.ok());
    return std::move(file).value();
  }

 private:
  void add(const std::string& name, const Shape& shape, float size, float middle = 0) {
    std::vector<float> values = random_values(element_count(shape), seed_++);
    for (float& value : values) value = round_to_bf16(middle + size * value);
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    tensors_.push_back({name, DType::f32, shape, {bytes, bytes + 4 * values.size()}});
  }

  std::uint64_t seed_;
  std::vector<NamedBytes> tensors_;
};

}  // namespace turboclip::test
