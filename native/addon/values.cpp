#include "addon/values.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "engine/text.h"

namespace turboclip::addon {
namespace {

/// In the order of TextEncoding.
constexpr std::string_view kTextEncodings[] = {"bf16", "int8", "host", "auto"};

Error invalid(std::string_view name, std::string_view expected) {
  return Error{ErrorCode::request_invalid, concat(name, " is not ", expected)};
}

/// Reads members of one object; the first that has another type is remembered and the rest is skipped.
class MemberReader {
 public:
  explicit MemberReader(const Napi::Value& value) : env_(value.Env()) {
    if (value.IsObject()) {
      object_ = value.As<Napi::Object>();
    } else {
      fail("the argument", "an object");
    }
  }

  std::string text(const char* name) {
    const Napi::Value value = member(name);
    if (failed() || !value.IsString()) return fail(name, "a string"), std::string();
    return value.As<Napi::String>().Utf8Value();
  }
  double number(const char* name) {
    const Napi::Value value = member(name);
    if (failed() || !value.IsNumber()) return fail(name, "a number"), 0;
    return value.As<Napi::Number>().DoubleValue();
  }
  /// Within +-2^31, far beyond any of the engine's limits.
  std::int64_t integer(const char* name) {
    const double value = number(name);
    if (!(std::abs(value) <= 0x1p31) || std::trunc(value) != value) return fail(name, "an integer"), 0;
    return static_cast<std::int64_t>(value);
  }
  std::uint64_t unsigned64(const char* name) {
    const Napi::Value value = member(name);
    bool lossless = false;
    const std::uint64_t out =
        !failed() && value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
    if (!lossless) fail(name, "a bigint from 0 to 2^64 - 1");
    return out;
  }
  std::vector<std::int32_t> integers(const char* name) {
    const Napi::Value value = member(name);
    if (failed() || !value.IsTypedArray() ||
        value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
      return fail(name, "an Int32Array"), std::vector<std::int32_t>();
    }
    const auto array = value.As<Napi::Int32Array>();
    return {array.Data(), array.Data() + array.ElementLength()};
  }
  /// Whether the member is `yes`; anything but `yes` and `no` is an error.
  bool choice(const char* name, std::string_view yes, std::string_view no) {
    const std::string value = text(name);
    if (value != yes && value != no) fail(name, concat("'", yes, "' or '", no, "'"));
    return value == yes;
  }

  bool failed() const { return error_.code != ErrorCode::internal; }
  const Error& error() const { return error_; }

 private:
  Napi::Value member(const char* name) { return failed() ? env_.Undefined() : object_.Get(name); }
  void fail(std::string_view name, std::string_view expected) {
    if (!failed()) error_ = invalid(name, expected);
  }

  Napi::Env env_;
  Napi::Object object_;
  Error error_;  // `internal` while nothing has failed
};

}  // namespace

Napi::Error to_error(Napi::Env env, std::string_view code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code.data(), code.size()));
  return error;
}

Napi::Error to_error(Napi::Env env, const Error& error) {
  return to_error(env, error_code_name(error.code), error.message);
}

Result<EnginePaths> read_paths(const Napi::Value& value) {
  MemberReader members(value);
  EnginePaths paths;
  paths.denoiser = members.text("denoiser");
  paths.text_encoder = members.text("textEncoder");
  paths.vae = members.text("vae");
  paths.tiny_decoder = members.text("tinyDecoder");
  if (members.failed()) return members.error();
  return paths;
}

Result<CudaOptions> read_cuda_options(const Napi::Value& value) {
  MemberReader members(value);
  const std::int64_t device = members.integer("device");
  const double limit = members.number("memoryLimit");
  const std::string encoding = members.text("textEncoding");
  const std::int64_t resident = members.integer("mostResident");
  CudaOptions options{members.text("library")};
  if (members.failed()) return members.error();
  const auto* found = std::find(std::begin(kTextEncodings), std::end(kTextEncodings), encoding);
  if (found == std::end(kTextEncodings)) return invalid("textEncoding", "'bf16', 'int8', 'host' or 'auto'");
  options.text_encoding = static_cast<TextEncoding>(found - std::begin(kTextEncodings));
  if (device < 0 || device > 1024) return invalid("device", "the number of a CUDA device, counted from 0");
  if (!(limit >= 0 && limit <= 0x1p53)) return invalid("memoryLimit", "a number of bytes; 0 is all");
  options.device = static_cast<int>(device);
  options.memory_limit = static_cast<std::int64_t>(limit);
  options.most_resident = resident;
  options.whole = value.As<Napi::Object>().Get("whole").ToBoolean();
  return options;
}

Result<LargestClip> read_largest(const Napi::Value& value) {
  MemberReader members(value);
  LargestClip clip;
  clip.width = members.integer("width");
  clip.height = members.integer("height");
  clip.frames = members.integer("frames");
  clip.tiny = members.choice("decoder", "taehv", "vae");
  clip.settings.attention =
      members.choice("attention", "sla", "original") ? Attention::sla : Attention::original;
  clip.settings.topk_ratio = members.number("topkRatio");
  if (members.failed()) return members.error();
  const bool whole = clip.width >= 16 && clip.height >= 16 && clip.frames >= 1 && clip.width % 16 == 0 &&
                     clip.height % 16 == 0 && clip.width <= 4096 && clip.height <= 4096 &&
                     clip.frames <= 4096;
  if (!whole)
    return invalid("the largest clip",
                   "of sides that are multiples of 16 up to 4096 and of 1 to 4096 frames");
  return clip;
}

Result<LoadOptions> read_options(const Napi::Value& value) {
  MemberReader members(value);
  const std::int64_t threads = members.integer("threads");
  const bool on_device = members.choice("backend", "cuda", "cpu");
  if (members.failed()) return members.error();
  if (threads < 0 || threads > 1024) return invalid("threads", "a number from 0 (one a core) to 1024");
  LoadOptions options{{static_cast<int>(threads)}, std::nullopt, std::nullopt};
  const Napi::Value largest = value.As<Napi::Object>().Get("largest");
  if (!largest.IsUndefined()) {
    const Result<LargestClip> clip = read_largest(largest);
    if (!clip) return clip.error();
    options.largest = clip.value();
  }
  if (!on_device) return options;
  const Result<CudaOptions> cuda = read_cuda_options(value);
  if (!cuda) return cuda.error();
  options.cuda = cuda.value();
  return options;
}

Result<ClipRequest> read_request(const Napi::Value& value) {
  MemberReader members(value);
  ClipRequest request;
  request.token_ids = members.integers("tokenIds");
  request.width = members.integer("width");
  request.height = members.integer("height");
  request.frames = members.integer("frames");
  request.seed = members.unsigned64("seed");
  request.sampler.steps = static_cast<int>(members.integer("steps"));
  request.sampler.sigma_max = members.number("sigmaMax");
  request.sampler.method = members.choice("sampler", "sde", "ode") ? SamplerMethod::sde : SamplerMethod::ode;
  request.denoiser.attention =
      members.choice("attention", "sla", "original") ? Attention::sla : Attention::original;
  request.denoiser.topk_ratio = members.number("topkRatio");
  request.decoder = members.choice("decoder", "taehv", "vae") ? Decoder::taehv : Decoder::vae;
  request.pixels = members.choice("pixels", "nv12", "rgb24") ? PixelFormat::nv12 : PixelFormat::rgb24;
  if (members.failed()) return members.error();
  return request;
}

Result<QuantizeRequest> read_quantize_request(const Napi::Value& value) {
  MemberReader members(value);
  QuantizeRequest request;
  request.input = members.text("input");
  request.output = members.text("output");
  request.existing = members.choice("existing", "replace", "refuse") ? Existing::replace : Existing::refuse;
  if (members.failed()) return members.error();
  return request;
}

Napi::Object to_object(Napi::Env env, const StageSeconds& seconds) {
  Napi::Object timings = Napi::Object::New(env);
  timings.Set("text_encode", seconds.text_encode);
  timings.Set("denoise", seconds.denoise);
  timings.Set("decode", seconds.decode);
  Napi::Object out = Napi::Object::New(env);
  out.Set("timings", timings);
  return out;
}

Napi::Object to_object(Napi::Env env, const DevicePlan& plan) {
  Napi::Object out = Napi::Object::New(env);
  const auto set = [&](const char* name, std::int64_t value) { out.Set(name, static_cast<double>(value)); };
  set("layers", plan.layers);
  set("streamed", plan.streamed);
  set("transformer", plan.transformer);
  set("textEncoder", plan.text_encoder);
  set("decoders", plan.decoders);
  set("denoise", plan.denoise);
  set("ring", plan.ring);
  set("decode", plan.decode);
  set("text", plan.text);
  set("peak", plan.peak);
  set("host", plan.host);
  out.Set("textEncoding", std::string(kTextEncodings[static_cast<std::size_t>(plan.text_encoding)]));
  set("available", plan.available);
  out.Set("fits", plan.fits);
  out.Set("remedy", plan.remedy);
  return out;
}

Napi::Object to_object(Napi::Env env, const CudaDevice& device) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("name", device.name);
  out.Set("driver", device.driver);
  out.Set("freeBytes", static_cast<double>(device.free_bytes));
  out.Set("totalBytes", static_cast<double>(device.total_bytes));
  return out;
}

Napi::Object to_object(Napi::Env env, const EngineInfo& info) {
  Napi::Object out = Napi::Object::New(env);
  const auto set = [&](const char* name, std::int64_t value) { out.Set(name, static_cast<double>(value)); };
  out.Set("backend", info.backend);
  set("width", info.denoiser.width);
  set("heads", info.denoiser.heads);
  set("layers", info.denoiser.layers);
  set("textWidth", info.denoiser.text_width);
  set("vocabulary", info.vocabulary);
  out.Set("sparseAttention", info.denoiser.has_sla);
  set("residentBytes", info.resident_bytes);
  out.Set("tinyDecoder", info.has_tiny_decoder);
  set("textCacheHits", info.text_cache.hits);
  set("textCacheMisses", info.text_cache.misses);
  if (info.device) {
    set("deviceBytes", info.device->held);
    set("devicePeakBytes", info.device->peak);
  }
  return out;
}

}  // namespace turboclip::addon
