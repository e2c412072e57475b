#include "cuda/library_handle.h"

#include <dlfcn.h>

#include "engine/text.h"

namespace turboclip {
namespace {

template <class Function>
bool find(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(handle, name));
  return function != nullptr;
}

}  // namespace

Error unavailable(const std::string& message) { return Error{ErrorCode::backend_unavailable, message}; }

Error to_error(const turboclip_cuda_error& error) {
  return Error{static_cast<ErrorCode>(error.code), error.message};
}

Result<std::shared_ptr<const Library>> Library::open(const std::filesystem::path& path) {
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    return unavailable(concat("the CUDA library does not open: ", ::dlerror(),
                              "; build it on a machine that has nvcc (`npm run build` does), and if it lies "
                              "elsewhere say where (TURBOCLIP_CUDA_LIBRARY)"));
  }
  std::shared_ptr<Library> library(new Library(handle));
  if (!library->bind() || library->abi() != TURBOCLIP_CUDA_ABI) {
    return unavailable(concat(path.string(), " is of another version: build it together with this engine"));
  }
  return std::shared_ptr<const Library>(std::move(library));
}

Library::~Library() { ::dlclose(handle_); }

bool Library::bind() {
  return find(handle_, "turboclip_cuda_abi", abi) && find(handle_, "turboclip_cuda_devices", devices) &&
         find(handle_, "turboclip_cuda_describe", describe) && find(handle_, "turboclip_cuda_load", load) &&
         find(handle_, "turboclip_cuda_free", free) && find(handle_, "turboclip_cuda_config_of", config_of) &&
         find(handle_, "turboclip_cuda_weight_bytes", weight_bytes) &&
         find(handle_, "turboclip_cuda_streamed_blocks", streamed_blocks) &&
         find(handle_, "turboclip_cuda_begin_clip", begin_clip) &&
         find(handle_, "turboclip_cuda_velocity", velocity) &&
         find(handle_, "turboclip_cuda_sample", sample) &&
         find(handle_, "turboclip_cuda_load_decoder", load_decoder) &&
         find(handle_, "turboclip_cuda_free_decoder", free_decoder) &&
         find(handle_, "turboclip_cuda_decoder_bytes", decoder_bytes) &&
         find(handle_, "turboclip_cuda_decoding_bytes", decoding_bytes) &&
         find(handle_, "turboclip_cuda_decode", decode) &&
         find(handle_, "turboclip_cuda_load_text_encoder", load_text_encoder) &&
         find(handle_, "turboclip_cuda_free_text_encoder", free_text_encoder) &&
         find(handle_, "turboclip_cuda_text_config_of", text_config_of) &&
         find(handle_, "turboclip_cuda_encode", encode) &&
         find(handle_, "turboclip_cuda_int8_product", int8_product) &&
         find(handle_, "turboclip_cuda_plan", plan) && find(handle_, "turboclip_cuda_available", available) &&
         find(handle_, "turboclip_cuda_held", held);
}

}  // namespace turboclip
