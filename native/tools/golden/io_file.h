// One <model>.io.safetensors of a golden set: inputs and reference tensors come from it, computed tensors are
// compared with it, and those are written under the same name elsewhere when asked.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/error.h"
#include "engine/tensor.h"

namespace turboclip::golden {

/// Receives each line of the report, without its newline.
using Print = std::function<void(const std::string& line)>;

struct Counts {
  int computed = 0;
  int failed = 0;
};

class IoFile {
 public:
  IoFile(const Checkpoint& file, const Print& print) : file_(file), print_(print) {}

  /// "wan_t2v" of wan_t2v.io.safetensors.
  std::string model() const { return file_.path().stem().stem().string(); }

  bool has(std::string_view name) const { return file_.find(name) != nullptr; }

  /// An input of batch 1 without its leading dimension: [1, a, b] becomes [a, b]. `expected` is the shape
  /// without it; negative sizes accept any.
  Result<Tensor> input(std::string_view name, Shape expected) const;

  /// Compares `value` with the reference tensor of that name and keeps it for write(). A block list (".lut")
  /// must name the same blocks in each row, a block map be equal, anything else be within 1e-4 of the
  /// reference: ||value - reference|| / ||reference||. Without a reference nothing is compared.
  void result(const std::string& name, Tensor value, Counts& counts);

  /// Writes what result() was given, under this file's name in `folder`.
  Status write(const std::filesystem::path& folder) const;

 private:
  const Checkpoint& file_;
  const Print& print_;
  std::vector<NamedBytes> results_;
};

}  // namespace turboclip::golden
