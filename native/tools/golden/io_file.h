// One <model>.io.safetensors of a golden set: inputs and reference tensors come from it, computed tensors are
// compared with it, and those are written under the same name elsewhere when asked.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/error.h"
#include "engine/tensor.h"
#include "tools/golden/report.h"

namespace turboclip::golden {

class IoFile {
 public:
  /// `model`, "wan_t2v", names it in the report and the file that write() makes. `tolerance` is of tensors
  /// that are compared by closeness.
  IoFile(const Checkpoint& file, std::string model, double tolerance, const Print& print)
      : file_(file), model_(std::move(model)), tolerance_(tolerance), print_(print) {}

  const std::string& model() const { return model_; }

  bool has(std::string_view name) const { return file_.find(name) != nullptr; }

  /// An input of batch 1 without its leading dimension: [1, a, b] becomes [a, b]. `expected` is the shape
  /// without it; negative sizes accept any.
  Result<Tensor> input(std::string_view name, Shape expected) const;

  /// Compares `value` with the reference tensor of that name and keeps it for write(). A block list (".lut")
  /// must name the same blocks in each row, a block map be equal, anything else be within the tolerance:
  /// ||value - reference|| / ||reference||. Without a reference nothing is compared.
  void result(const std::string& name, Tensor value, Counts& counts);

  /// Writes what result() was given as <model>.io.safetensors in `folder`.
  Status write(const std::filesystem::path& folder) const;

 private:
  const Checkpoint& file_;
  std::string model_;
  double tolerance_;
  const Print& print_;
  std::vector<NamedBytes> results_;
};

}  // namespace turboclip::golden
