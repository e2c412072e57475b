// Between JavaScript values and the engine's. native/index.ts has validated what comes in; what is checked
// here are types, so that a caller who goes around it gets an error and not a crash.
#pragma once

#include <napi.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "cuda/backend.h"
#include "engine/checkpoint/output_file.h"
#include "engine/error.h"
#include "engine/pipeline.h"

namespace turboclip::addon {

/// Error with `code` as a property, as every rejection and throw of the addon has it.
Napi::Error to_error(Napi::Env env, std::string_view code, const std::string& message);
Napi::Error to_error(Napi::Env env, const Error& error);

/// {denoiser, textEncoder, vae, tinyDecoder}: strings; no tinyDecoder is an empty one.
Result<EnginePaths> read_paths(const Napi::Value& value);

/// Where an engine computes. What the device does not do, the CPU does.
struct LoadOptions {
  CpuOptions cpu;
  std::optional<CudaOptions> cuda;
  std::optional<LargestClip> largest;
};
/// {threads: 0 is one a core, backend: "cpu"|"cuda", device: counted from 0, library: of the CUDA backend,
/// memoryLimit: bytes of the device, 0 is all, mostResident: blocks on the device, -1 is all that fit,
/// textEncoding: "bf16"|"int8"|"host", largest: undefined or as read_largest() takes it, whole:
/// CudaOptions::whole}
Result<LoadOptions> read_options(const Napi::Value& value);
/// {width, height, frames, decoder: "vae"|"taehv", attention: "sla"|"original", topkRatio}
Result<LargestClip> read_largest(const Napi::Value& value);
/// {weights, scratch}: bytes
/// {device, library, memoryLimit, mostResident, textEncoding}
Result<CudaOptions> read_cuda_options(const Napi::Value& value);

/// {tokenIds: Int32Array, width, height, frames, steps, sampler: "sde"|"ode", sigmaMax, seed: bigint,
/// attention: "sla"|"original", topkRatio, decoder: "vae"|"taehv", pixels: "rgb24"|"nv12"}
Result<ClipRequest> read_request(const Napi::Value& value);

struct QuantizeRequest {
  std::filesystem::path input;
  std::filesystem::path output;
  Existing existing = Existing::refuse;
};
/// {input, output: strings, existing: "replace"|"refuse"}
Result<QuantizeRequest> read_quantize_request(const Napi::Value& value);

/// {timings: {text_encode, denoise, decode}} in seconds.
Napi::Object to_object(Napi::Env env, const StageSeconds& seconds);

/// DevicePlan's members, in camel case.
Napi::Object to_object(Napi::Env env, const DevicePlan& plan);

/// {name, driver, freeBytes, totalBytes}
Napi::Object to_object(Napi::Env env, const CudaDevice& device);

/// {backend, width, heads, layers, textWidth, vocabulary, sparseAttention, residentBytes, tinyDecoder,
/// textCacheHits, textCacheMisses}, and of a device deviceBytes, devicePeakBytes
Napi::Object to_object(Napi::Env env, const EngineInfo& info);

}  // namespace turboclip::addon
