#include "engine/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <new>
#include <optional>

#include "engine/nv12.h"
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

Error out_of_memory(std::string_view what) {
  return Error{ErrorCode::out_of_memory,
               concat("no memory left to ", what, "; free memory or ask for a smaller clip or model")};
}

/// What the standard library throws where no error is expected, such as a thread that does not start.
Error unexpected(const std::exception& error) {
  return Error{ErrorCode::internal, concat("unexpected: ", error.what())};
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

std::int64_t frame_bytes(PixelFormat format, std::int64_t height, std::int64_t width) {
  return format == PixelFormat::nv12 ? nv12_bytes(height, width) : height * width * 3;
}

Result<std::unique_ptr<Engine>> Engine::load(const EnginePaths& paths, std::shared_ptr<Backend> backend,
                                             const std::optional<LargestClip>& largest) {
  try {
    std::unique_ptr<Engine> engine(new Engine(std::move(backend)));
    const Status planned = engine->plan_memory(paths, largest);
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

Status Engine::plan_memory(const EnginePaths& paths, const std::optional<LargestClip>& largest) {
  const Status planned = backend_->plan_load(paths, largest);
  if (!planned) return planned;
  const std::optional<std::int64_t> available = backend_->available_memory();
  if (!available) return success();
  const auto read = [&](const std::filesystem::path& path, const char* kind, const std::string& place,
                        const auto& add) -> Status {
    const Result<Checkpoint> checkpoint = Checkpoint::open(path);
    if (!checkpoint) return checkpoint.error();
    const WeightMemory before = sizes_.weights;
    add(checkpoint.value());
    if (is_shared(kind, path, place)) sizes_.weights = before;
    return success();
  };
  const char* text = shared_kind(static_cast<const TextEncoder*>(nullptr));
  const char* video = shared_kind(static_cast<const VideoDecoder*>(nullptr));
  Status status = success();
  if (backend_->encodes_on_host()) {
    status = read(paths.text_encoder, text, backend_->text_place(),
                  [&](const Checkpoint& file) { add_text_encoder(sizes_, file); });
  }
  if (status && backend_->draws_on_host()) {
    status =
        read(paths.denoiser, "denoiser", {}, [&](const Checkpoint& file) { add_denoiser(sizes_, file); });
    if (status) {
      status = read(paths.vae, video, backend_->place(),
                    [&](const Checkpoint& file) { add_decoder(sizes_, file, sizes_.vae); });
    }
    if (status && !paths.tiny_decoder.empty()) {
      status = read(paths.tiny_decoder, video, backend_->place(),
                    [&](const Checkpoint& file) { add_decoder(sizes_, file, sizes_.tiny); });
    }
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
  const Result<Checkpoint> checkpoint = Checkpoint::open(paths.denoiser);
  if (!checkpoint) return checkpoint.error();
  Result<std::unique_ptr<Denoiser>> denoiser = backend_->load_denoiser(checkpoint.value());
  if (!denoiser) return denoiser.error();
  denoiser_ = std::move(denoiser).value();
  Status status = load_shared(paths.text_encoder, backend_, &Backend::load_text_encoder, text_encoder_);
  if (status) status = load_shared(paths.vae, backend_, &Backend::load_video_decoder, decoder_);
  if (status && !paths.tiny_decoder.empty()) {
    status = load_shared(paths.tiny_decoder, backend_, &Backend::load_video_decoder, tiny_decoder_);
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
  if (config.text_width != text_encoder_->model->width()) {
    return Error{ErrorCode::tensor_shape,
                 concat(paths.text_encoder.string(), ": makes text rows of ", text_encoder_->model->width(),
                        " values, but ", paths.denoiser.string(), " expects ", config.text_width,
                        "; use a text encoder and a denoiser of the same model set")};
  }
  return success();
}

EngineInfo Engine::info() const {
  return {backend_->name(),           denoiser_->config(),      text_encoder_->model->vocabulary(),
          backend_->resident_bytes(), tiny_decoder_ != nullptr, backend_->device_bytes(),
          text_cache_.counts()};
}

Result<Clip> Engine::generate(const ClipRequest& request, const ClipProgress& progress,
                              const CancelFlag& cancel, const FramesReady& frames) {
  const Status valid = check_request(request, info());
  if (!valid) return valid.error();
  const Status fits = check_memory(request);
  if (!fits) return fits.error();
  try {
    return run(request, progress, cancel, frames);
  } catch (const std::bad_alloc&) {
    return out_of_memory("make the clip");
  } catch (const std::exception& error) {
    return unexpected(error);
  }
}

Result<Clip> Engine::run(const ClipRequest& request, const ClipProgress& progress, const CancelFlag& cancel,
                         const FramesReady& frames) {
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
  const Status decoded = decode(request, latent.value(), clip, progress, cancel, frames);
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
  const std::lock_guard lock(text_encoder_->use);
  Result<Tensor> rows =
      text_encoder_->model->encode(request.token_ids, cancel, single_step(progress, Stage::text_encode));
  if (!rows) return rows;
  if (!all_finite(rows.value())) return not_numbers("text encoder");
  text_cache_.keep(request.token_ids, rows.value());
  return rows;
}

Result<Tensor> Engine::denoise(const ClipRequest& request, Tensor text, const ClipProgress& progress,
                               const CancelFlag& cancel) {
  const ModelLatentShape shape = latent_shape(request);
  denoiser_->expect_stage(decoder_of(request).device_bytes(shape));
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

VideoDecoder& Engine::decoder_of(const ClipRequest& request) const {
  return request.decoder == Decoder::taehv ? *tiny_decoder_->model : *decoder_->model;
}

Status Engine::decode(const ClipRequest& request, const Tensor& latent, Clip& clip,
                      const ClipProgress& progress, const CancelFlag& cancel, const FramesReady& frames) {
  const std::int64_t bytes = frame_bytes(request.pixels, clip.height, clip.width);
  clip.pixels = std::make_shared<std::vector<std::uint8_t>>(static_cast<std::size_t>(clip.frames * bytes));
  const auto misplaced = [&](const Shape& shape, std::int64_t first) {
    return Error{ErrorCode::internal, concat("the decoder produced frames of shape ", shape_text(shape),
                                             " at ", first, " of a clip of ", clip.frames)};
  };
  const auto tell = [&](std::int64_t first, std::int64_t count) {
    if (frames) frames(clip.pixels, first, count);
    return success();
  };
  const FrameSink sink = [&](std::int64_t first, const Tensor& rgb) -> Status {
    const std::int64_t count = rgb.size(0);
    if (rgb.shape != Shape{count, clip.height, clip.width, 3} || first < 0 || first + count > clip.frames) {
      return misplaced(rgb.shape, first);
    }
    if (!all_finite(rgb)) return not_numbers("video decoder");
    std::uint8_t* out = clip.pixels->data() + first * bytes;
    if (request.pixels == PixelFormat::nv12) {
      to_nv12(rgb.data(), count, clip.height, clip.width, out);
    } else {
      std::transform(rgb.values.begin(), rgb.values.end(), out, to_level);
    }
    return tell(first, count);
  };
  SharedModel<VideoDecoder>& shared = request.decoder == Decoder::taehv ? *tiny_decoder_ : *decoder_;
  const std::lock_guard lock(shared.use);
  const Progress part = single_step(progress, Stage::decode);
  if (request.pixels == PixelFormat::nv12) {
    const Nv12Sink take = [&](std::int64_t first, std::int64_t count,
                              std::span<const std::uint8_t> values) -> Status {
      if (first < 0 || first + count > clip.frames || std::ssize(values) != count * bytes) {
        return misplaced({count, clip.height, clip.width, 3}, first);
      }
      std::copy(values.begin(), values.end(), clip.pixels->begin() + first * bytes);
      return tell(first, count);
    };
    if (const std::optional<Status> decoded = shared.model->decode_nv12(latent, take, cancel, part))
      return *decoded;
  }
  return shared.model->decode(latent, sink, cancel, part);
}

}  // namespace turboclip
