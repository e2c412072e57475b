#include "demo_models.h"

#include <unistd.h>

#include <cmath>
#include <span>
#include <stdexcept>
#include <utility>

#include "engine/checkpoint/safetensors.h"
#include "engine/text.h"
#include "measure.h"

namespace turboclip::bench {
namespace {

/// Collects tensors under their names.
class Model {
 public:
  void matrix(const std::string& name, const Shape& shape) {
    const double fan_in = static_cast<double>(element_count(shape) / shape[0]);
    // Uniform in [-1, 1) has variance 1/3.
    add(name + ".weight", shape, static_cast<float>(std::sqrt(3 / fan_in)), 0);
    add(name + ".bias", {shape[0]}, 0.1f, 0);
  }
  void gain(const std::string& name, const Shape& shape) { add(name, shape, 0.1f, 1); }
  void add(const std::string& name, const Shape& shape, float spread, float centre) {
    std::vector<float> values = random_values(element_count(shape), tensors_.size() + 1);
    for (float& value : values) value = centre + spread * value;
    tensors_.push_back({name, shape, std::move(values)});
  }
  std::vector<NamedValues> take() { return std::move(tensors_); }

 private:
  std::vector<NamedValues> tensors_;
};

void add_attention(Model& model, const std::string& prefix, std::int64_t width) {
  for (const char* part : {"q", "k", "v", "o"}) model.matrix(prefix + part, {width, width});
  model.gain(prefix + "norm_q.weight", {width});
  model.gain(prefix + "norm_k.weight", {width});
}

void add_residual(Model& model, const std::string& prefix, std::int64_t in, std::int64_t out) {
  model.gain(prefix + ".residual.0.gamma", {in, 1, 1, 1});
  model.matrix(prefix + ".residual.2", {out, in, 3, 3, 3});
  model.gain(prefix + ".residual.3.gamma", {out, 1, 1, 1});
  model.matrix(prefix + ".residual.6", {out, out, 3, 3, 3});
  if (in != out) model.matrix(prefix + ".shortcut", {out, in, 1, 1, 1});
}

}  // namespace

ModelFile::ModelFile(const std::string& name, const std::vector<NamedValues>& tensors) {
  std::string pattern = (std::filesystem::temp_directory_path() / "turboclip-bench-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder " + pattern);
  folder_ = pattern;
  const std::filesystem::path path = folder_ / (name + ".safetensors");
  std::vector<NamedBytes> stored;
  for (const NamedValues& tensor : tensors) {
    const auto bytes = std::as_bytes(std::span(tensor.values));
    stored.push_back({tensor.name, DType::f32, tensor.shape, {bytes.begin(), bytes.end()}});
  }
  const Status written = write_safetensors(path, std::move(stored));
  if (!written) throw std::runtime_error(written.error().message);
  Result<Checkpoint> opened = Checkpoint::open(path);
  if (!opened) throw std::runtime_error(opened.error().message);
  checkpoint_ = std::move(opened).value();
}

ModelFile::~ModelFile() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::vector<NamedValues> dit_tensors(const DitSize& size) {
  const std::int64_t width = size.width;
  Model model;
  model.matrix("patch_embedding", {width, 64});
  model.matrix("text_embedding.0", {width, size.text_width});
  model.matrix("text_embedding.2", {width, width});
  model.matrix("time_embedding.0", {width, 256});
  model.matrix("time_embedding.2", {width, width});
  model.matrix("time_projection.1", {6 * width, width});
  for (std::int64_t i = 0; i < size.layers; ++i) {
    const std::string block = concat("blocks.", i, ".");
    model.add(block + "modulation", {1, 6, width}, 0.1f, 0);
    add_attention(model, block + "self_attn.", width);
    model.matrix(block + "self_attn.attn_op.local_attn.proj_l", {128, 128});
    model.gain(block + "norm3.weight", {width});
    model.add(block + "norm3.bias", {width}, 0.1f, 0);
    add_attention(model, block + "cross_attn.", width);
    model.matrix(block + "ffn.0", {size.ffn, width});
    model.matrix(block + "ffn.2", {width, size.ffn});
  }
  model.add("head.modulation", {1, 2, width}, 0.1f, 0);
  model.matrix("head.head", {64, width});
  return model.take();
}

std::vector<NamedValues> vae_tensors(std::int64_t dim) {
  Model model;
  const std::int64_t widest = 4 * dim;
  model.matrix("conv2", {16, 16, 1, 1, 1});
  model.matrix("decoder.conv1", {widest, 16, 3, 3, 3});
  add_residual(model, "decoder.middle.0", widest, widest);
  model.gain("decoder.middle.1.norm.gamma", {widest, 1, 1});
  model.matrix("decoder.middle.1.to_qkv", {3 * widest, widest, 1, 1});
  model.matrix("decoder.middle.1.proj", {widest, widest, 1, 1});
  add_residual(model, "decoder.middle.2", widest, widest);
  struct Level {
    std::int64_t in, out;
    bool doubles_space, doubles_time;
  };
  std::int64_t layer = 0;
  for (const Level& level : {Level{widest, widest, true, true}, Level{2 * dim, widest, true, true},
                             Level{2 * dim, 2 * dim, true, false}, Level{dim, dim, false, false}}) {
    for (std::int64_t i = 0; i < 3; ++i) {
      add_residual(model, concat("decoder.upsamples.", layer++), i == 0 ? level.in : level.out, level.out);
    }
    if (!level.doubles_space) continue;
    const std::string up = concat("decoder.upsamples.", layer++);
    model.matrix(up + ".resample.1", {level.out / 2, level.out, 3, 3});
    if (level.doubles_time) model.matrix(up + ".time_conv", {2 * level.out, level.out, 3, 1, 1});
  }
  model.gain("decoder.head.0.gamma", {dim, 1, 1, 1});
  model.matrix("decoder.head.2", {3, dim, 3, 3, 3});
  return model.take();
}

}  // namespace turboclip::bench
