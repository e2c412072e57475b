// A whole engine of the golden weights: random, but of the real architecture.
#pragma once

#include <memory>

#include "check.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/pipeline.h"
#include "engine/sampler/noise.h"
#include "support.h"

namespace turboclip::test {

inline EnginePaths golden_paths() {
  return {fixture("golden/wan_t2v.pth"), fixture("golden/umt5.pth"), fixture("golden/wan_vae.pth")};
}

/// The golden transformer with a text embedding of the golden text encoder's width, which it does not have by
/// itself; every other tensor as it is.
inline std::filesystem::path fitting_denoiser(const TemporaryFolder& folder) {
  const Result<Checkpoint> original = Checkpoint::open(golden_paths().denoiser);
  std::vector<NamedBytes> tensors;
  for (const auto& [name, view] : original.value().tensors()) {
    Tensor values = to_float(view);
    if (name == "text_embedding.0.weight") {
      values = gaussian_noise(1, 0, {values.size(0), 128});
      for (float& value : values.values) value *= 0.1f;
    }
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    tensors.push_back({name, DType::f32, values.shape, {bytes, bytes + 4 * values.values.size()}});
  }
  const std::filesystem::path path = folder.path() / "denoiser.safetensors";
  CHECK(write_safetensors(path, std::move(tensors)).ok());
  return path;
}

inline Result<std::unique_ptr<Engine>> load_fitting(const TemporaryFolder& folder, int threads) {
  EnginePaths paths = golden_paths();
  paths.denoiser = fitting_denoiser(folder);
  return Engine::load(paths, make_cpu_backend({threads}));
}

inline ClipRequest small_request() {
  ClipRequest request;
  request.token_ids = {7, 300, 1};
  request.width = 64;
  request.height = 32;
  request.frames = 5;
  request.seed = 3;
  request.sampler.steps = 2;
  return request;
}

}  // namespace turboclip::test
