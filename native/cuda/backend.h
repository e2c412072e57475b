// The CUDA backend: opens libturboclip_cuda.so at run time, so that the engine starts where no driver is.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/backend.h"

namespace turboclip {

struct CudaOptions {
  std::filesystem::path library;  // libturboclip_cuda.so
  int device = 0;
};

/// A backend whose transformer and video decoders run on the device; the text encoder is that of `host`.
/// backend_unavailable, saying why, if the library does not open or finds no device.
Result<std::unique_ptr<Backend>> make_cuda_backend(const CudaOptions& options, std::unique_ptr<Backend> host);

}  // namespace turboclip
