// Writes a state dict as torch.save does, tensor by tensor, so that no more than one is in memory.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpoint/zip_writer.h"
#include "engine/error.h"
#include "engine/tensor.h"

namespace turboclip {

struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
};

/// torch.load(weights_only=True) reads what it writes. Equal tensors give equal bytes.
class PthWriter {
 public:
  PthWriter(ZipWriter::Write write, std::vector<TensorSpec> specs)
      : zip_(std::move(write)), specs_(std::move(specs)) {}

  /// Names, types and shapes of all tensors: before the first of them.
  Status begin();
  /// The row-major bytes of the next tensor, in the order of the specs; format_invalid when they are not as
  /// many as its spec says.
  Status add(std::span<const std::byte> bytes);
  /// After the last one.
  Status finish();

 private:
  ZipWriter zip_;
  std::vector<TensorSpec> specs_;
  std::size_t next_ = 0;
};

}  // namespace turboclip
