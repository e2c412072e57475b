#include "cuda/self_test_models.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "engine/checkpoint/random_checkpoint.h"
#include "engine/sampler/noise.h"
#include "engine/sampler/rcm.h"
#include "engine/text.h"

namespace turboclip {
namespace {

/// Distances of clips from the host's, over the clips' size. Rounding makes 0.4% (INT8, sampled) and 0.3%
/// (halves, decoded) of them; what is broken is off by far more.
constexpr double kSampledLimit = 0.03;
constexpr double kDecodedLimit = 0.02;
/// The same of text rows: 0.4% in bfloat16, 1.7% in INT8.
constexpr double kEncodedLimit = 0.05;

/// A folder of its own that goes with the object.
class ModelFolder {
 public:
  static Result<ModelFolder> make() {
    std::error_code failed;
    std::string name = (std::filesystem::temp_directory_path(failed) / "turboclip-self-test-XXXXXX").string();
    if (failed || ::mkdtemp(name.data()) == nullptr) {
      return Error{ErrorCode::io, concat("the self-test has nowhere to put its models (", name,
                                         "); set TMPDIR to a folder that can be written to")};
    }
    return ModelFolder(std::move(name));
  }
  ModelFolder(ModelFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ModelFolder(const ModelFolder&) = delete;
  ModelFolder& operator=(const ModelFolder&) = delete;
  ~ModelFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  Result<Checkpoint> save(RandomCheckpoint&& model, const char* name) const {
    const std::filesystem::path path = path_ / name;
    const Status saved = std::move(model).save(path);
    if (!saved) return saved.error();
    return Checkpoint::open(path);
  }

 private:
  explicit ModelFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

double distance(const std::vector<float>& found, const std::vector<float>& expected) {
  if (found.size() != expected.size()) return std::nan("");
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(found[i]) - expected[i], 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / size);
}

Status compare(const char* stage, const std::vector<float>& found, const std::vector<float>& expected,
               double limit) {
  const double off = distance(found, expected);
  if (off <= limit) return success();  // and not where it is no number
  return Error{ErrorCode::internal, concat("a small model's ", stage, " is off by ", 100 * off, "% where ",
                                           100 * limit, "% is the most that rounding makes")};
}

struct ClipKind {
  const char* name;
  DenoiserSettings settings;
  SamplerSettings sampler;
};

/// The lengths end inside the tiles of each of the products' kernels.
Status check_prompts(Backend& device, Backend& host, const ModelFolder& folder) {
  const Umt5Config config{300, 128, 128, 2, 256, 1};
  const Result<Checkpoint> file = folder.save(random_umt5(config), "umt5.safetensors");
  if (!file) return file.error();
  const Result<std::unique_ptr<TextEncoder>> on_device = device.load_text_encoder(file.value());
  if (!on_device) return on_device.error();
  const Result<std::unique_ptr<TextEncoder>> on_host = host.load_text_encoder(file.value());
  if (!on_host) return on_host.error();
  std::vector<std::int32_t> ids;
  for (const std::size_t tokens : {9u, 50u, 100u, 130u}) {
    while (ids.size() < tokens) ids.push_back(static_cast<std::int32_t>(ids.size() * 37 % 300));
    const Result<Tensor> expected = on_host.value()->encode(ids, {}, {});
    if (!expected) return expected.error();
    const Result<Tensor> found = on_device.value()->encode(ids, {}, {});
    if (!found) return found.error();
    const Status close = compare("prompt", found.value().values, expected.value().values, kEncodedLimit);
    if (!close) return close;
  }
  return success();
}

/// 2 x 6 x 11 tokens: two blocks of queries and three of keys, the last ones cut.
constexpr ModelLatentShape kSampledShape{2, 12, 22};
constexpr std::uint64_t kSeed = 11;

Result<Tensor> sample_clip(Denoiser& model, const ClipKind& kind, const Conditioning& conditioning) {
  const Status begun = model.begin_clip(kSampledShape, conditioning, kind.settings, {});
  if (!begun) return begun.error();
  std::optional<Result<Tensor>> whole = model.sample_clip(kind.sampler, kSeed, {}, {});
  if (whole) return std::move(*whole);
  return sample(model, kSampledShape, kind.sampler, seeded_noise(kSeed), {}, {});
}

Status check_denoiser(Backend& device, Backend& host, const ModelFolder& folder) {
  DenoiserConfig config;
  config.width = 128;
  config.heads = 1;
  config.ffn = 256;
  config.layers = 1;
  config.text_width = 64;
  config.in_channels = kLatentChannels;
  config.has_sla = true;
  const Result<Checkpoint> file = folder.save(random_transformer(config, false), "transformer.safetensors");
  if (!file) return file.error();
  const Result<std::unique_ptr<Denoiser>> on_device = device.load_denoiser(file.value());
  if (!on_device) return on_device.error();
  const Result<std::unique_ptr<Denoiser>> on_host = host.load_denoiser(file.value());
  if (!on_host) return on_host.error();
  const Conditioning conditioning{gaussian_noise(kSeed, 9, {5, config.text_width}), {}};
  const ClipKind kinds[] = {
      {"clip by sparse-linear attention",
       {Attention::sla, 0.7},
       {SamplerMethod::sde, 2, 80, ModelInput::bf16}},
      {"clip by full attention", {Attention::original, 1}, {SamplerMethod::ode, 1, 80, ModelInput::bf16}}};
  for (const ClipKind& kind : kinds) {
    const Result<Tensor> expected = sample_clip(*on_host.value(), kind, conditioning);
    if (!expected) return expected.error();
    const Result<Tensor> found = sample_clip(*on_device.value(), kind, conditioning);
    if (!found) return found.error();
    const Status close = compare(kind.name, found.value().values, expected.value().values, kSampledLimit);
    if (!close) return close;
    const Result<Tensor> again = sample_clip(*on_device.value(), kind, conditioning);
    if (!again) return again.error();
    if (again.value().values == found.value().values) continue;
    return Error{ErrorCode::internal,
                 concat("a small model's ", kind.name, " differs when it is made again")};
  }
  return success();
}

Result<std::vector<float>> decode(Backend& backend, const Checkpoint& file, const Tensor& z) {
  const Result<std::unique_ptr<VideoDecoder>> decoder = backend.load_video_decoder(file);
  if (!decoder) return decoder.error();
  std::vector<float> frames;
  const auto take = [&](std::int64_t, const Tensor& rgb) {
    frames.insert(frames.end(), rgb.values.begin(), rgb.values.end());
    return success();
  };
  const Status decoded = decoder.value()->decode(z, take, {}, {});
  if (!decoded) return decoded.error();
  return frames;
}

Status check_decoder(Backend& device, Backend& host, const Result<Checkpoint>& file, const char* stage) {
  if (!file) return file.error();
  const Tensor z = gaussian_noise(kSeed, 10, {kLatentChannels, 2, 1, 2});
  const Result<std::vector<float>> expected = decode(host, file.value(), z);
  if (!expected) return expected.error();
  const Result<std::vector<float>> found = decode(device, file.value(), z);
  if (!found) return found.error();
  return compare(stage, found.value(), expected.value(), kDecodedLimit);
}

}  // namespace

Status check_text_encoder(Backend& device, Backend& host) {
  const Result<ModelFolder> folder = ModelFolder::make();
  if (!folder) return folder.error();
  return check_prompts(device, host, folder.value());
}

Status check_models(Backend& device, Backend& host) {
  const Result<ModelFolder> folder = ModelFolder::make();
  if (!folder) return folder.error();
  const ModelFolder& models = folder.value();
  if (!device.encodes_on_host()) {
    const Status encoded = check_prompts(device, host, models);
    if (!encoded) return encoded;
  }
  const Status sampled = check_denoiser(device, host, models);
  if (!sampled) return sampled;
  const Status decoded =
      check_decoder(device, host, models.save(random_vae(8), "vae.safetensors"), "picture by the VAE");
  if (!decoded) return decoded;
  return check_decoder(device, host, models.save(random_taehv({16, 16, 8, 8}), "taehv.safetensors"),
                       "picture by TAEHV");
}

}  // namespace turboclip
