// From token ids to pixels: the text encoder, the sampler over the transformer, and the video decoder, as one
// engine that makes one clip at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/backend.h"
#include "engine/error.h"
#include "engine/memory_plan.h"
#include "engine/sampler/rcm.h"
#include "engine/shared_model.h"
#include "engine/text_cache.h"

namespace turboclip {

/// What turns the latent into frames: Wan's VAE, or TAEHV, which is quicker and only resembles it.
enum class Decoder { vae, taehv };

/// RGB, 8 bits a channel, [frames, height, width, 3], where a decoded value v becomes floor(127.5 v + 128)
/// within 0..255:
/// [-1, 1] to the nearest level, halves upward; or NV12 of those (nv12.h).
enum class PixelFormat { rgb24, nv12 };
std::int64_t frame_bytes(PixelFormat format, std::int64_t height, std::int64_t width);

/// A finished request: every default is set by the caller.
struct ClipRequest {
  std::vector<std::int32_t> token_ids;  // 1 to 512, </s> included
  std::int64_t width = 0;               // pixels, a multiple of 16
  std::int64_t height = 0;
  std::int64_t frames = 0;  // 4 n + 1
  std::uint64_t seed = 0;
  SamplerSettings sampler;
  DenoiserSettings denoiser;
  Decoder decoder = Decoder::vae;
  PixelFormat pixels = PixelFormat::rgb24;
};

enum class Stage { text_encode, denoise, decode };
std::string_view stage_name(Stage stage);

/// step counts from 1 of steps (1 of 1 but while denoising); fraction in [0, 1] is of the whole stage.
/// Called on the generating thread.
using ClipProgress = std::function<void(Stage stage, int step, int steps, double fraction)>;

/// Called on the generating thread as frames [first, first + count) of `pixels` are there; the vector does
/// not move.
using FramesReady = std::function<void(const std::shared_ptr<std::vector<std::uint8_t>>& pixels,
                                       std::int64_t first, std::int64_t count)>;

struct StageSeconds {
  double text_encode = 0;
  double denoise = 0;
  double decode = 0;
};

struct Clip {
  std::int64_t frames = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::shared_ptr<std::vector<std::uint8_t>> pixels;  // of all frames, in the request's format
  StageSeconds seconds;
};

/// What was loaded, read from the tensors.
struct EngineInfo {
  std::string backend;
  DenoiserConfig denoiser;
  std::int64_t vocabulary = 0;
  std::int64_t resident_bytes = 0;
  bool has_tiny_decoder = false;
  std::optional<DeviceBytes> device;
  TextCache::Counts text_cache;  // of the clips so far
};

class Engine {
 public:
  /// Opens the checkpoints on the backend and checks that they belong together. largest: for which the memory
  /// is planned.
  static Result<std::unique_ptr<Engine>> load(const EnginePaths& paths, std::shared_ptr<Backend> backend,
                                              const std::optional<LargestClip>& largest = std::nullopt);

  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  EngineInfo info() const;

  /// Makes one clip; not to be called while another call runs. request_invalid names the value that the model
  /// cannot take; cancelled follows within a transformer block of `cancel` being set, or within a step
  /// where the denoiser samples whole clips.
  Result<Clip> generate(const ClipRequest& request, const ClipProgress& progress, const CancelFlag& cancel,
                        const FramesReady& frames = {});

 private:
  explicit Engine(std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {}

  /// Refuses before anything is read when the headers promise more than there is memory for.
  Status plan_memory(const EnginePaths& paths, const std::optional<LargestClip>& largest);
  Status check_memory(const ClipRequest& request) const;
  Status load_models(const EnginePaths& paths);
  Result<Clip> run(const ClipRequest& request, const ClipProgress& progress, const CancelFlag& cancel,
                   const FramesReady& frames);
  Result<Tensor> encode_text(const ClipRequest& request, const ClipProgress& progress,
                             const CancelFlag& cancel);
  Result<Tensor> denoise(const ClipRequest& request, Tensor text, const ClipProgress& progress,
                         const CancelFlag& cancel);
  VideoDecoder& decoder_of(const ClipRequest& request) const;
  Status decode(const ClipRequest& request, const Tensor& latent, Clip& clip, const ClipProgress& progress,
                const CancelFlag& cancel, const FramesReady& frames);

  std::shared_ptr<Backend> backend_;
  ModelSizes sizes_;
  std::shared_ptr<SharedModel<TextEncoder>> text_encoder_;
  TextCache text_cache_;  // of this engine's prompts alone, used by its own clips alone
  std::unique_ptr<Denoiser> denoiser_;
  std::shared_ptr<SharedModel<VideoDecoder>> decoder_;
  std::shared_ptr<SharedModel<VideoDecoder>> tiny_decoder_;  // may be empty
};

}  // namespace turboclip
