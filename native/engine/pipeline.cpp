#include "engine/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <new>
#include <optional>

#include "engine/request.h"
#include "engine/text.h"

namespace turboclip {
namespace {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point began_ = Clock::now();
};

/// A stage's own fraction as the progress of a stage of one step.
Progress single_step(const ClipProgress& progress, Stage stage) {
  if (!progress) return {};
  return [&progress, stage](double fraction) { progress(stage, 1, 1, fraction); };
}

bool all_finite(const Tensor& tensor) {
  return std::all_of(tensor.values.begin(), tensor.values.end(),
                     [](float value) { return std::isfinite(value); });
}

Error not_numbers(std::string_view model) {
  return Error{ErrorCode::internal, concat("the ", model,
                                           " produced values that are no numbers; verify its checkpoint, "
                                           "the weights may be damaged")};
}

std::uint8_t to_level(float value) {
  return static_cast<std::uint8_t>(std::clamp(std::floor(value * 127.5f + 128.0f), 0.0f, 255.0f));
}

Error out_of_memory(std::string_view what) {
  return Error{ErrorCode::out_of_memory,
               concat("no memory left to ", what, "; free memory or ask for a smaller clip or model")};
}

/// What the standard library throws where no error is expected, such as a thread that does not start.
Error unexpected(const std::exception& error) {
  return Error{ErrorCode::internal, concat("unexpected: ", error.what())};
}

/// Opens a checkpoint and hands it to one of the backend's loaders. The mapping ends with the call unless the
/// model keeps a copy of the checkpoint.
template <class Model>
Status load_model(const std::filesystem::path& path, Backend& backend,
                  Result<std::unique_ptr<Model>> (Backend::*loader)(const Checkpoint&),
                  std::unique_ptr<Model>& out) {
  const Result<Checkpoint> checkpoint = Checkpoint::open(path);
  if (!checkpoint) return checkpoint.error();
  Result<std::unique_ptr<Model>> model = (backend.*loader)(checkpoint.value());
  if (!model) return model.error();
  out = std::move(model).value();
  return success();
}

}  // namespace

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::text_encode:
      return "text_encode";
    case Stage::denoise:
      return "denoise";
    case Stage::decode:
      return "decode";
  }
  return "decode";
}

Result<std::unique_ptr<Engine>> Engine::load(const EnginePaths& paths, std::unique_ptr<Backend> backend) {
  try {
    std::unique_ptr<Engine> engine(new Engine(std::move(backend)));
    const Status planned = engine->plan_memory(paths);
    if (!planned) return planned.error();
    const Status loaded = engine->load_models(paths);
    if (!loaded) return loaded.error();
    return engine;
  } catch (const std::bad_alloc&) {
    return out_of_memory("load the checkpoints");
  } catch (const std::exception& error) {
    return unexpected(error);
  }
}

Status Engine::plan_memory(const EnginePaths& paths) {
  const std::optional<std::int64_t> available = backend_->available_memory();
  if (!available) return success();
  const auto read = [](const std::filesystem::path& path, const auto& add) -> Status {
    const Result<Checkpoint> checkpoint = Checkpoint::open(path);
    if (!checkpoint) return checkpoint.error();
    add(checkpoint.value());
    return success();
  };
  Status status = success();
  if (backend_->denoises_on_host()) {
    status = read(paths.denoiser, [&](const Checkpoint& file) { add_denoiser(sizes_, file); });
  }
  if (status && backend_->encodes_on_host()) {
    status = read(paths.text_encoder, [&](const Checkpoint& file) { add_text_encoder(sizes_, file); });
  }
  if (status)
    status = read(paths.vae, [&](const Checkpoint& file) { add_decoder(sizes_, file, sizes_.vae); });
  if (status && !paths.tiny_decoder.empty()) {
    status =
        read(paths.tiny_decoder, [&](const Checkpoint& file) { add_decoder(sizes_, file, sizes_.tiny); });
  }
  return status ? check_load_memory(sizes_, *available) : status;
}

Status Engine::check_memory(const ClipRequest& request) const {
  const std::optional<std::int64_t> available = backend_->available_memory();
  if (!available) return success();
  const ClipSize clip{request.width, request.height, request.frames,
                      static_cast<std::int64_t>(request.token_ids.size())};
  return check_clip_memory(sizes_, clip, request.decoder == Decoder::taehv, *available);
}

Status Engine::load_models(const EnginePaths& paths) {
  Status status = load_model(paths.denoiser, *backend_, &Backend::load_denoiser, denoiser_);
  if (status) status = load_model(paths.text_encoder, *backend_, &Backend::load_text_encoder, text_encoder_);
  if (status) status = load_model(paths.vae, *backend_, &Backend::load_video_decoder, decoder_);
  if (status && !paths.tiny_decoder.empty()) {
    status = load_model(paths.tiny_decoder, *backend_, &Backend::load_video_decoder, tiny_decoder_);
  }
  if (!status) return status;
  const DenoiserConfig& config = denoiser_->config();
  if (config.in_channels != kLatentChannels) {
    return Error{
        ErrorCode::architecture_unknown,
        concat(paths.denoiser.string(), ": takes ", config.in_channels,
               " input channels, so it needs a "
               "picture; this engine makes clips from text alone: use a T2V checkpoint (16 channels)")};
  }
  if (config.text_width != text_encoder_->width()) {
    return Error{ErrorCode::tensor_shape,
                 concat(paths.text_encoder.string(), ": makes text rows of ", text_encoder_->width(),
                        " values, but ", paths.denoiser.string(), " expects ", config.text_width,
                        "; use a text encoder and a denoiser of the same model set")};
  }
  return success();
}

EngineInfo Engine::info() const {
  return {backend_->name(), denoiser_->config(), text_encoder_->vocabulary(), backend_->resident_bytes(),
          tiny_decoder_ != nullptr, text_cache_.counts()};
}

Result<Clip> Engine::generate(const ClipRequest& request, const ClipProgress& progress,
                              const CancelFlag& cancel) {
  const Status valid = check_request(request, info());
  if (!valid) return valid.error();
  const Status fits = check_memory(request);
  if (!fits) return fits.error();
  try {
    return run(request, progress, cancel);
  } catch (const std::bad_alloc&) {
    return out_of_memory("make the clip");
  } catch (const std::exception& error) {
    return unexpected(error);
  }
}

Result<Clip> Engine::run(const ClipRequest& request, const ClipProgress& progress, const CancelFlag& cancel) {
  Clip clip{request.frames, request.height, request.width, {}, {}};
  const Stopwatch encoding;
  Result<Tensor> text = encode_text(request, progress, cancel);
  if (!text) return text.error();
  clip.seconds.text_encode = encoding.seconds();

  const Stopwatch denoising;
  const Result<Tensor> latent = denoise(request, std::move(text).value(), progress, cancel);
  if (!latent) return latent.error();
  clip.seconds.denoise = denoising.seconds();

  const Stopwatch decoding;
  VideoDecoder& decoder = request.decoder == Decoder::taehv ? *tiny_decoder_ : *decoder_;
  const Status decoded = decode(decoder, latent.value(), clip, progress, cancel);
  if (!decoded) return decoded.error();
  clip.seconds.decode = decoding.seconds();
  return clip;
}

Result<Tensor> Engine::encode_text(const ClipRequest& request, const ClipProgress& progress,
                                   const CancelFlag& cancel) {
  if (const Tensor* rows = text_cache_.find(request.token_ids)) {
    if (progress) progress(Stage::text_encode, 1, 1, 1);
    return *rows;
  }
  Result<Tensor> rows =
      text_encoder_->encode(request.token_ids, cancel, single_step(progress, Stage::text_encode));
  if (!rows) return rows;
  if (!all_finite(rows.value())) return not_numbers("text encoder");
  text_cache_.keep(request.token_ids, rows.value());
  return rows;
}

Result<Tensor> Engine::denoise(const ClipRequest& request, Tensor text, const ClipProgress& progress,
                               const CancelFlag& cancel) {
  const ModelLatentShape shape = latent_shape(request);
  const Status begun = denoiser_->begin_clip(shape, {std::move(text), {}}, request.denoiser, cancel);
  if (!begun) return begun.error();
  SamplerHooks hooks;
  const int steps = request.sampler.steps;
  if (progress) {
    hooks.progress = [&progress, steps](int step, double fraction) {
      progress(Stage::denoise, step, steps, (step - 1 + fraction) / steps);
    };
  }
  std::optional<Result<Tensor>> whole =
      denoiser_->sample_clip(request.sampler, request.seed, cancel, hooks.progress);
  Result<Tensor> latent =
      whole ? std::move(*whole)
            : sample(*denoiser_, shape, request.sampler, seeded_noise(request.seed), cancel, hooks);
  if (latent && !all_finite(latent.value())) return not_numbers("denoiser");
  return latent;
}

Status Engine::decode(VideoDecoder& decoder, const Tensor& latent, Clip& clip, const ClipProgress& progress,
                      const CancelFlag& cancel) {
  const std::int64_t frame_bytes = clip.height * clip.width * 3;
  clip.rgb.resize(static_cast<std::size_t>(clip.frames * frame_bytes));
  const FrameSink sink = [&](std::int64_t first, const Tensor& rgb) -> Status {
    const std::int64_t count = rgb.size(0);
    if (rgb.shape != Shape{count, clip.height, clip.width, 3} || first < 0 || first + count > clip.frames) {
      return Error{ErrorCode::internal, concat("the decoder produced frames of shape ", shape_text(rgb.shape),
                                               " at ", first, " of a clip of ", clip.frames)};
    }
    if (!all_finite(rgb)) return not_numbers("video decoder");
    std::transform(rgb.values.begin(), rgb.values.end(), clip.rgb.begin() + first * frame_bytes, to_level);
    return success();
  };
  return decoder.decode(latent, sink, cancel, single_step(progress, Stage::decode));
}

}  // namespace turboclip
