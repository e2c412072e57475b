// The safetensors format: 8 bytes of header length (little-endian), a JSON header, then the tensors' bytes.
// https://github.com/huggingface/safetensors#format
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "engine/error.h"
#include "engine/tensor.h"

namespace turboclip {

/// The tensors of a whole safetensors file, borrowed from `file`. Every length and offset is checked: the
/// tensors lie inside the file, have the size that shape and type promise, and neither overlap nor leave
/// holes. `path` is for messages only.
Result<std::map<std::string, TensorView, std::less<>>> read_safetensors(std::span<const std::byte> file,
                                                                        const std::filesystem::path& path);

/// A tensor to be written: row-major bytes of `dtype`.
struct NamedBytes {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::vector<std::byte> bytes;
};

/// Writes a file that any safetensors reader opens; io when the disk refuses.
Status write_safetensors(const std::filesystem::path& path, std::vector<NamedBytes> tensors);

}  // namespace turboclip
