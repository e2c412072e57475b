// Checkpoints of random weights, of any size, in the official names and layouts: self-tests and benchmarks
// need no downloaded model.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/umt5_config.h"

namespace turboclip {

/// Collects tensors. The same calls give the same bytes on every machine; no two tensors share a seed.
class RandomCheckpoint {
 public:
  /// `<name>.weight` of the shape, its first size the outputs, so large that outputs are as large as inputs;
  /// and `<name>.bias`, a tenth of that.
  void layer(const std::string& name, const Shape& shape, bool bias = true);
  /// The same as a -quant file has a linear layer [out, in]: int8_weight, scale and bias.
  void int8_layer(const std::string& name, std::int64_t out, std::int64_t in);
  /// Values within `spread` of `middle`.
  void values(const std::string& name, const Shape& shape, float middle, float spread);

  /// Writes a safetensors file, and holds nothing any more.
  Status save(const std::filesystem::path& path) &&;

 private:
  std::vector<float> uniform(std::int64_t count, float middle, float spread);
  void add(const std::string& name, const Shape& shape, const std::vector<float>& values);

  std::vector<NamedBytes> tensors_;
  std::uint32_t seed_ = 0;
};

/// TurboWan's transformer of these sizes; with `int8` as a -quant file.
RandomCheckpoint random_transformer(const DenoiserConfig& config, bool int8);

/// The decoder of Wan's VAE; the official one's width is 96. A multiple of 2.
RandomCheckpoint random_vae(std::int64_t width);

/// TAEHV's decoder; widths: of its three levels and of its last convolution, officially 256, 128, 64, 64.
RandomCheckpoint random_taehv(const std::array<std::int64_t, 4>& widths);

/// umT5's encoder of these sizes. Its scores are as large as training makes them: they are not scaled, so q
/// is.
RandomCheckpoint random_umt5(const Umt5Config& config);

}  // namespace turboclip
