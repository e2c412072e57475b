// A checkpoint file, read by our own readers and never executed: .safetensors by mmap, .pth by a
// restricted unpickler that knows tensors and nothing else.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/tensor.h"

namespace turboclip {

class MappedFile;  // read-only mmap of a whole file

/// An open checkpoint: its tensors by official name (checkpoint/names.h), borrowed from the mapping.
class Checkpoint {
 public:
  /// Opens by the file's first bytes (zip: .pth; otherwise safetensors), not by its name.
  static Result<Checkpoint> open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, TensorView, std::less<>>& tensors() const { return tensors_; }

  /// nullptr when there is none.
  const TensorView* find(std::string_view name) const;

  /// The tensor, if it has exactly this shape; a negative size in `expected` accepts any size there.
  /// tensor_missing or tensor_shape otherwise, naming file, tensor, what was found and expected.
  Result<const TensorView*> require(std::string_view name, const Shape& expected) const;

  /// The same, converted to float32.
  Result<Tensor> require_float(std::string_view name, const Shape& expected) const;

  /// Gives back the memory that reading this contiguous tensor took; it may be read again.
  void release(const TensorView& view) const;

 private:
  std::filesystem::path path_;
  std::shared_ptr<MappedFile> file_;
  std::map<std::string, TensorView, std::less<>> tensors_;

  friend struct CheckpointBuilder;
};

}  // namespace turboclip
