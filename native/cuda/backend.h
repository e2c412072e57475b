// The CUDA backend: opens libturboclip_cuda.so at run time, so that the engine starts where no driver is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "engine/backend.h"

namespace turboclip {

struct CudaOptions {
  std::filesystem::path library;  // libturboclip_cuda.so
  int device = 0;
  /// Bytes of device memory that a model and its clips may take; 0 is all that is free.
  std::int64_t memory_limit = 0;
};

struct CudaDevice {
  std::string name;
  std::string driver;  // the newest CUDA that it knows, such as "13.0"
  std::int64_t free_bytes = 0;
  std::int64_t total_bytes = 0;
};

/// The device that the options name, once it has multiplied a product of known numbers rightly and drawn small
/// models' clips as `host` draws them (self_test.h, self_test_models.h). backend_unavailable, saying why, if the
/// library does not open, finds no such device, or the device computes wrongly.
Result<CudaDevice> find_cuda_device(const CudaOptions& options, std::unique_ptr<Backend> host);

/// A backend whose transformer and video decoders run on the device; the text encoder is that of `host`.
/// Errors are those of find_cuda_device(), but only the product is tried: an engine process tries the models once,
/// when it starts.
Result<std::unique_ptr<Backend>> make_cuda_backend(const CudaOptions& options, std::unique_ptr<Backend> host);

}  // namespace turboclip
