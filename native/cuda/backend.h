// The CUDA backend: opens libturboclip_cuda.so at run time, so that the engine starts where no driver is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "engine/backend.h"

namespace turboclip {

/// Where a prompt is encoded, and in what weights.
enum class TextEncoding { bf16, int8, host };

struct CudaOptions {
  std::filesystem::path library;  // libturboclip_cuda.so
  int device = 0;
  /// Bytes of device memory that a model and its clips may take; 0 is all that is free.
  std::int64_t memory_limit = 0;
  TextEncoding text_encoding = TextEncoding::bf16;
};

struct CudaDevice {
  std::string name;
  std::string driver;  // the newest CUDA that it knows, such as "13.0"
  std::int64_t free_bytes = 0;
  std::int64_t total_bytes = 0;
};

/// The device that the options name, once it has multiplied a product of known numbers rightly.
/// backend_unavailable, saying why, if the library does not open, finds no such device, or the device
/// computes wrongly.
Result<CudaDevice> find_cuda_device(const CudaOptions& options);

/// A backend whose models run on the device; the text encoder is that of `host` if the options say so.
/// Errors are those of find_cuda_device().
Result<std::unique_ptr<Backend>> make_cuda_backend(const CudaOptions& options, std::unique_ptr<Backend> host);

}  // namespace turboclip
