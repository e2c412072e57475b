// Checkpoints of random weights to time the models on: the demo's sizes, no download.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/checkpoint.h"

namespace turboclip::bench {

struct NamedValues {
  std::string name;
  Shape shape;
  std::vector<float> values;
};

/// A checkpoint in a temporary file that goes with the object. Throws std::runtime_error when the disk
/// refuses.
class ModelFile {
 public:
  ModelFile(const std::string& name, const std::vector<NamedValues>& tensors);
  ModelFile(const ModelFile&) = delete;
  ModelFile& operator=(const ModelFile&) = delete;
  ~ModelFile();

  const Checkpoint& checkpoint() const { return checkpoint_; }

 private:
  std::filesystem::path folder_;
  Checkpoint checkpoint_;
};

struct DitSize {
  std::int64_t width, ffn, layers, text_width;
};
/// TurboWan's tensors, weights of variance 1 / fan-in so that activations neither vanish nor overflow.
std::vector<NamedValues> dit_tensors(const DitSize& size);
/// The Wan VAE decoder's tensors at base width `dim` (96 is the official one).
std::vector<NamedValues> vae_tensors(std::int64_t dim);

}  // namespace turboclip::bench
