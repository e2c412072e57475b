// libturboclip_cuda.so, opened at run time.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "cuda/library.h"
#include "engine/error.h"

namespace turboclip {

Error unavailable(const std::string& message);
Error to_error(const turboclip_cuda_error& error);

/// The library's functions; it stays open for as long as one of its models lives.
class Library {
 public:
  /// backend_unavailable if the file does not open, or is of another version.
  static Result<std::shared_ptr<const Library>> open(const std::filesystem::path& path);
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library();

  decltype(&turboclip_cuda_abi) abi = nullptr;
  decltype(&turboclip_cuda_devices) devices = nullptr;
  decltype(&turboclip_cuda_describe) describe = nullptr;
  decltype(&turboclip_cuda_load) load = nullptr;
  decltype(&turboclip_cuda_free) free = nullptr;
  decltype(&turboclip_cuda_config_of) config_of = nullptr;
  decltype(&turboclip_cuda_weight_bytes) weight_bytes = nullptr;
  decltype(&turboclip_cuda_streamed_blocks) streamed_blocks = nullptr;
  decltype(&turboclip_cuda_begin_clip) begin_clip = nullptr;
  decltype(&turboclip_cuda_velocity) velocity = nullptr;
  decltype(&turboclip_cuda_sample) sample = nullptr;
  decltype(&turboclip_cuda_load_decoder) load_decoder = nullptr;
  decltype(&turboclip_cuda_free_decoder) free_decoder = nullptr;
  decltype(&turboclip_cuda_decoder_bytes) decoder_bytes = nullptr;
  decltype(&turboclip_cuda_decoding_bytes) decoding_bytes = nullptr;
  decltype(&turboclip_cuda_decode) decode = nullptr;
  decltype(&turboclip_cuda_int8_product) int8_product = nullptr;
  decltype(&turboclip_cuda_load_text_encoder) load_text_encoder = nullptr;
  decltype(&turboclip_cuda_free_text_encoder) free_text_encoder = nullptr;
  decltype(&turboclip_cuda_text_config_of) text_config_of = nullptr;
  decltype(&turboclip_cuda_encode) encode = nullptr;
  decltype(&turboclip_cuda_plan) plan = nullptr;
  decltype(&turboclip_cuda_available) available = nullptr;
  decltype(&turboclip_cuda_held) held = nullptr;

 private:
  explicit Library(void* handle) : handle_(handle) {}

  /// Finds every function; false if one is missing.
  bool bind();

  void* handle_;
};

}  // namespace turboclip
