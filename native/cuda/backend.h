// The CUDA backend: opens libturboclip_cuda.so at run time, so that the engine starts where no driver is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cuda/text_encoding.h"
#include "engine/backend.h"

namespace turboclip {

struct CudaOptions {
  std::filesystem::path library;  // libturboclip_cuda.so
  int device = 0;
  /// Bytes of device memory that a model and its clips may take; 0 is all that is free.
  std::int64_t memory_limit = 0;
  /// Blocks of a transformer on the device at most; negative: as many as fit.
  std::int64_t most_resident = -1;
  /// Refuse a device without room for all blocks but those that most_resident keeps off it.
  bool whole = false;
  TextEncoding text_encoding = TextEncoding::automatic;
};

struct CudaDevice {
  std::string name;
  std::string driver;  // the newest CUDA that it knows, such as "13.0"
  std::int64_t free_bytes = 0;
  std::int64_t total_bytes = 0;
};

/// The device that the options name, once it has multiplied a product of known numbers rightly and drawn
/// small models' clips as `host` draws them (self_test.h, self_test_models.h). backend_unavailable, saying
/// why, if the library does not open, finds no such device, or the device computes wrongly.
Result<CudaDevice> find_cuda_device(const CudaOptions& options, std::unique_ptr<Backend> host);

/// What a model set and a clip take of a device, in bytes.
struct DevicePlan {
  TextEncoding text_encoding = TextEncoding::host;  // what automatic became
  std::int64_t available = 0;                       // what was planned for
  std::int64_t layers = 0, streamed = 0;            // blocks, and those that come from the host's memory
  std::int64_t transformer = 0, text_encoder = 0, decoders = 0;  // weights
  std::int64_t denoise = 0, ring = 0, decode = 0, text = 0;      // stages; the ring is part of denoise
  std::int64_t peak = 0;
  std::int64_t host = 0;  // pinned memory
  bool fits = false;
  std::string remedy{};  // what would fit, if it does not
};

/// The plan for `available` bytes of the device: those that may still be taken of it, if that is absent; with
/// a negative device none need be there. Errors are those of reading the files' headers, or
/// backend_unavailable.
Result<DevicePlan> plan_on_device(const CudaOptions& options, const EnginePaths& paths,
                                  const LargestClip& clip, std::optional<std::int64_t> available = {});

/// A backend whose models run on the device; the text encoder is that of `host` if the options say so, or if
/// they leave it to the plan of a set's load and that does. Without a plan automatic is bfloat16.
/// Errors are those of find_cuda_device(), but only the product is tried: an engine process tries the models
/// once, when it starts.
Result<std::unique_ptr<Backend>> make_cuda_backend(const CudaOptions& options, std::unique_ptr<Backend> host);

}  // namespace turboclip
