#include "cuda/backend.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cuda/library_handle.h"
#include "cuda/self_test.h"
#include "cuda/self_test_models.h"
#include "cuda/text_encoder.h"
#include "cuda/video_decoder.h"
#include "engine/memory_plan.h"
#include "engine/shared_model.h"
#include "engine/text.h"
#include "engine/wan_latent.h"

namespace turboclip {
namespace {

Result<Tensor> multiply(const Library& library, int device, const Int8Blocks& x, const Int8Blocks& w) {
  Tensor y({x.rows, w.rows});
  const turboclip_cuda_blocks left{x.values.data(), x.scales.data(), x.rows, x.columns};
  const turboclip_cuda_blocks right{w.values.data(), w.scales.data(), w.rows, w.columns};
  turboclip_cuda_error error{};
  if (library.int8_product(device, &left, &right, y.data(), &error) == 0) return to_error(error);
  return y;
}

/// A card that computes wrongly, by what it got wrong; any other error as it is.
Error unfit(int device, const CudaDevice& described, const Error& wrong) {
  if (wrong.code != ErrorCode::internal) return wrong;
  return unavailable(
      concat("CUDA device ", device, " (", described.name, ", driver for CUDA ", described.driver,
             ") is not fit to compute: ", wrong.message,
             "; reset the card or update its driver, and replace the card if that does not help"));
}

/// The device as the driver describes it, once it has shown that it multiplies.
Result<CudaDevice> try_device(const Library& library, int device) {
  turboclip_cuda_error error{};
  const int count = library.devices(&error);
  if (count == 0) {
    return unavailable(concat(error.message,
                              "; install NVIDIA's driver (nvidia-smi lists what it sees), or choose cpu "
                              "as the device"));
  }
  if (device < 0 || device >= count) {
    return unavailable(
        concat("there is no CUDA device ", device, ": the driver shows ", count, ", counted from 0"));
  }
  turboclip_cuda_device found{};
  if (library.describe(device, &found, &error) == 0) return to_error(error);
  CudaDevice described{found.name, concat(found.driver / 1000, ".", found.driver % 1000 / 10),
                       found.free_bytes, found.total_bytes};
  const Status right = check_int8_product(
      [&](const Int8Blocks& x, const Int8Blocks& w) { return multiply(library, device, x, w); });
  if (right) return described;
  return unfit(device, described, right.error());
}

class CudaDenoiser : public Denoiser {
 public:
  CudaDenoiser(std::shared_ptr<const Library> library, turboclip_cuda_denoiser* model)
      : library_(std::move(library)), model_(model) {
    const turboclip_cuda_config sizes = library_->config_of(model_);
    config_ = {sizes.width,      sizes.heads,       sizes.ffn,         sizes.layers,
               sizes.text_width, sizes.in_channels, sizes.has_sla != 0};
  }
  CudaDenoiser(const CudaDenoiser&) = delete;
  CudaDenoiser& operator=(const CudaDenoiser&) = delete;
  ~CudaDenoiser() override { library_->free(model_); }

  const DenoiserConfig& config() const override { return config_; }

  Status begin_clip(const ModelLatentShape& shape, const Conditioning& conditioning,
                    const DenoiserSettings& settings, const CancelFlag& cancel) override {
    if (cancel.requested) return cancelled();
    latent_.clear();
    const Tensor& text = conditioning.text;
    if (text.shape.size() != 2 || text.shape[1] != config_.text_width) {
      return Error{ErrorCode::request_invalid, concat("text rows have shape ", shape_text(text.shape),
                                                      ", expected rows of ", config_.text_width)};
    }
    const Shape image{config_.in_channels - kLatentChannels, shape.frames, shape.height, shape.width};
    const bool has_image = !conditioning.image.shape.empty();
    if (has_image && conditioning.image.shape != image) {
      return Error{ErrorCode::request_invalid,
                   concat("the picture's latent has shape ", shape_text(conditioning.image.shape),
                          ", expected ", shape_text(image))};
    }
    turboclip_cuda_clip clip{};
    clip.frames = shape.frames;
    clip.height = shape.height;
    clip.width = shape.width;
    clip.text = text.data();
    clip.text_rows = text.shape[0];
    clip.image = has_image ? conditioning.image.data() : nullptr;
    clip.sla = settings.attention == Attention::sla ? 1 : 0;
    clip.topk_ratio = settings.topk_ratio;
    clip.other_scratch = other_stage_;
    turboclip_cuda_error error{};
    if (library_->begin_clip(model_, &clip, &error) == 0) return to_error(error);
    latent_ = {kLatentChannels, shape.frames, shape.height, shape.width};
    return success();
  }

  Result<Tensor> velocity(const Tensor& x, double timestep, const CancelFlag& cancel,
                          const Progress& progress, const Tap&) override {
    if (cancel.requested) return cancelled();
    if (x.shape != latent_) {
      return Error{ErrorCode::request_invalid, concat("the state has shape ", shape_text(x.shape),
                                                      ", expected that of the clip that was begun")};
    }
    Tensor v(x.shape);
    turboclip_cuda_error error{};
    if (library_->velocity(model_, x.data(), timestep, v.data(), &error) == 0) return to_error(error);
    if (progress) progress(1);
    return v;
  }

  void expect_stage(std::int64_t bytes) override { other_stage_ = bytes; }

  std::optional<Result<Tensor>> sample_clip(const SamplerSettings& settings, std::uint64_t seed,
                                            const CancelFlag& cancel, const StepProgress& progress) override {
    if (settings.model_input != ModelInput::bf16) return std::nullopt;  // the device rounds
    if (cancel.requested) return cancelled();
    if (latent_.empty()) return Error{ErrorCode::request_invalid, "no clip was begun"};
    StepListener listener{cancel, progress};
    turboclip_cuda_sampling sampling{};
    sampling.ode = settings.method == SamplerMethod::ode ? 1 : 0;
    sampling.steps = settings.steps;
    sampling.sigma_max = settings.sigma_max;
    sampling.seed = seed;
    sampling.step_done = StepListener::step_done;
    sampling.user = &listener;
    Tensor latent(latent_);
    turboclip_cuda_error error{};
    if (library_->sample(model_, &sampling, latent.data(), &error) == 0) return to_error(error);
    return latent;
  }

 private:
  /// Hears of each step, from inside the library.
  struct StepListener {
    const CancelFlag& cancel;
    const StepProgress& progress;

    static std::int32_t step_done(void* user, std::int32_t step) {
      const auto& self = *static_cast<const StepListener*>(user);
      if (self.progress) self.progress(step, 1);
      return self.cancel.requested ? 1 : 0;
    }
  };

  static Error cancelled() { return Error{ErrorCode::cancelled, "cancelled while denoising"}; }

  std::shared_ptr<const Library> library_;
  turboclip_cuda_denoiser* model_;
  DenoiserConfig config_;
  Shape latent_;
  std::int64_t other_stage_ = 0;
};

/// Planned for where no clip is named: next to nothing.
constexpr LargestClip kSmallestClip{16, 16, 1, false, {}};

class CudaBackend : public Backend {
 public:
  CudaBackend(std::shared_ptr<const Library> library, CudaOptions options, std::unique_ptr<Backend> host)
      : library_(std::move(library)),
        options_(std::move(options)),
        text_encoding_(options_.text_encoding == TextEncoding::automatic ? TextEncoding::bf16
                                                                         : options_.text_encoding),
        host_(std::move(host)) {
    placement_.memory_limit = options_.memory_limit;
    placement_.most_resident = options_.most_resident;
  }

  std::string name() const override { return "cuda"; }
  Result<std::unique_ptr<TextEncoder>> load_text_encoder(const Checkpoint& checkpoint) override {
    if (!encodes_on_host()) return load_on_device(checkpoint);
    return host_->load_text_encoder(checkpoint);
  }
  Result<std::unique_ptr<Denoiser>> load_denoiser(const Checkpoint& checkpoint) override {
    turboclip_cuda_error error{};
    turboclip_cuda_denoiser* model =
        library_->load(options_.device, checkpoint.path().c_str(), &placement_, &error);
    if (model == nullptr) return to_error(error);
    device_bytes_ += library_->weight_bytes(model);
    return std::unique_ptr<Denoiser>(std::make_unique<CudaDenoiser>(library_, model));
  }
  Result<std::unique_ptr<VideoDecoder>> load_video_decoder(const Checkpoint& checkpoint) override {
    Result<CudaVideoDecoder> loaded =
        CudaVideoDecoder::load(library_, options_.device, checkpoint, options_.memory_limit);
    if (!loaded) return loaded.error();
    device_bytes_ += loaded->weight_bytes();
    return std::unique_ptr<VideoDecoder>(std::make_unique<CudaVideoDecoder>(std::move(loaded).value()));
  }
  Result<Tensor> int8_product(const Int8Blocks& x, const Int8Blocks& w) override {
    return multiply(*library_, options_.device, x, w);
  }
  Status plan_load(const EnginePaths& paths, const std::optional<LargestClip>& largest) override {
    const LargestClip clip = largest.value_or(kSmallestClip);
    Result<DevicePlan> plan = this->plan(paths, clip, std::nullopt);
    if (!plan) return plan.error();
    text_encoding_ = plan->text_encoding;
    placement_ = {options_.memory_limit, options_.most_resident, plan->denoise - plan->ring,
                  plan->text_encoder + plan->decoders, std::max(plan->decode, plan->text)};
    const std::int64_t off =
        options_.most_resident < 0 ? 0 : std::max<std::int64_t>(0, plan->layers - options_.most_resident);
    if (plan->fits && (!options_.whole || plan->streamed <= off)) return success();
    if (plan->fits) {
      return Error{ErrorCode::out_of_memory,
                   concat("the device has no room for all of the model: ", plan->streamed,
                          " of its blocks would come from the host's memory")};
    }
    const std::string what = largest ? concat("the model set with a clip of ", clip.width, " x ", clip.height,
                                              " and ", clip.frames, " frames")
                                     : std::string("the model set");
    return Error{
        ErrorCode::out_of_memory,
        concat(what, " needs ", gibibytes(plan->peak), " of the device's memory and ",
               gibibytes(plan->available),
               " may be taken (TURBOCLIP_DEVICE_MEMORY_GIB, and what the card has free); ", plan->remedy)};
  }
  Result<DevicePlan> plan(const EnginePaths& paths, const LargestClip& clip,
                          std::optional<std::int64_t> bytes) const {
    turboclip_cuda_error error{};
    std::int64_t available = bytes.value_or(0);
    if (!bytes && library_->available(options_.device, options_.memory_limit, &available, &error) == 0) {
      return to_error(error);
    }
    const std::string tiny = paths.tiny_decoder.string();
    turboclip_cuda_plan_request request{};
    request.denoiser = paths.denoiser.c_str();
    request.decoder = paths.vae.c_str();
    request.tiny_decoder = tiny.c_str();
    request.text_encoder = paths.text_encoder.c_str();
    request.text_encoding = static_cast<std::int32_t>(options_.text_encoding);
    const auto decoder_there = [&](const std::filesystem::path& path) {
      const char* kind = shared_kind(static_cast<const VideoDecoder*>(nullptr));
      return !path.empty() && is_shared(kind, path, place()) ? 1 : 0;
    };
    const auto text_there = [&](TextEncoding encoding) {
      const char* kind = shared_kind(static_cast<const TextEncoder*>(nullptr));
      return is_shared(kind, paths.text_encoder, text_place(encoding)) ? 1 : 0;
    };
    request.decoder_there = decoder_there(paths.vae);
    request.tiny_there = decoder_there(paths.tiny_decoder);
    request.bf16_there = text_there(TextEncoding::bf16);
    request.int8_there = text_there(TextEncoding::int8);
    request.device = options_.device;
    request.frames = 1 + (clip.frames - 1) / 4;
    request.height = clip.height / kSpatialFactor;
    request.width = clip.width / kSpatialFactor;
    request.text_rows = kTextRows;
    request.sla = clip.settings.attention == Attention::sla ? 1 : 0;
    request.topk_ratio = clip.settings.topk_ratio;
    request.tiny = clip.tiny ? 1 : 0;
    request.available = available;
    request.most_resident = options_.most_resident;
    request.whole = options_.whole ? 1 : 0;
    turboclip_cuda_plan_answer answer{};
    if (library_->plan(&request, &answer, &error) == 0) return to_error(error);
    return DevicePlan{static_cast<TextEncoding>(answer.text_encoding),
                      available,
                      answer.layers,
                      answer.streamed,
                      answer.transformer,
                      answer.text_encoder,
                      answer.decoders,
                      answer.denoise,
                      answer.ring,
                      answer.decode,
                      answer.text,
                      answer.peak,
                      answer.host,
                      answer.fits != 0,
                      answer.remedy};
  }
  std::optional<DeviceBytes> device_bytes() const override {
    DeviceBytes bytes;
    library_->held(options_.device, &bytes.held, &bytes.peak);
    return bytes;
  }
  std::string place() const override {
    return concat("cuda ", options_.device, " ", options_.library.string());
  }
  std::string text_place() const override { return text_place(text_encoding_); }
  bool draws_on_host() const override { return false; }
  bool encodes_on_host() const override { return text_encoding_ == TextEncoding::host; }
  std::int64_t resident_bytes() const override { return host_->resident_bytes() + device_bytes_; }
  std::optional<std::int64_t> available_memory() const override { return host_->available_memory(); }

 private:
  /// Text encoders of other weights are others.
  std::string text_place(TextEncoding encoding) const {
    constexpr const char* kEncodings[] = {" bf16", " int8", " host"};
    return place() + kEncodings[static_cast<int>(encoding)];
  }
  Result<std::unique_ptr<TextEncoder>> load_on_device(const Checkpoint& checkpoint) {
    Result<CudaTextEncoder> loaded = CudaTextEncoder::load(
        library_, options_.device, checkpoint, text_encoding_ == TextEncoding::int8, options_.memory_limit);
    if (!loaded) return loaded.error();
    device_bytes_ += loaded->weight_bytes();
    return std::unique_ptr<TextEncoder>(std::make_unique<CudaTextEncoder>(std::move(loaded).value()));
  }

  std::shared_ptr<const Library> library_;
  CudaOptions options_;
  TextEncoding text_encoding_;  // never automatic
  turboclip_cuda_placement placement_{};
  std::unique_ptr<Backend> host_;
  std::int64_t device_bytes_ = 0;
};

}  // namespace

Result<CudaDevice> find_cuda_device(const CudaOptions& options, std::unique_ptr<Backend> host) {
  const Result<std::shared_ptr<const Library>> library = Library::open(options.library);
  if (!library) return library.error();
  const Result<CudaDevice> found = try_device(*library.value(), options.device);
  if (!found) return found.error();
  CudaBackend device(library.value(), options, nullptr);
  Status right = check_models(device, *host);
  if (right && options.text_encoding == TextEncoding::automatic) {
    CudaOptions other = options;
    other.text_encoding = TextEncoding::int8;
    CudaBackend in_int8(library.value(), other, nullptr);
    right = check_text_encoder(in_int8, *host);
  }
  if (right) return found;
  return unfit(options.device, found.value(), right.error());
}

Result<DevicePlan> plan_on_device(const CudaOptions& options, const EnginePaths& paths,
                                  const LargestClip& clip, std::optional<std::int64_t> available) {
  const Result<std::shared_ptr<const Library>> library = Library::open(options.library);
  if (!library) return library.error();
  return CudaBackend(library.value(), options, nullptr).plan(paths, clip, available);
}

Result<std::unique_ptr<Backend>> make_cuda_backend(const CudaOptions& options,
                                                   std::unique_ptr<Backend> host) {
  const Result<std::shared_ptr<const Library>> library = Library::open(options.library);
  if (!library) return library.error();
  const Result<CudaDevice> found = try_device(*library.value(), options.device);
  if (!found) return found.error();
  return std::unique_ptr<Backend>(std::make_unique<CudaBackend>(library.value(), options, std::move(host)));
}

}  // namespace turboclip
