// A whole golden set: a folder of tiny models, their inputs, and what the reference implementation made of
// them. Any part of it may be absent.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "tools/golden/io_file.h"

namespace turboclip::golden {

struct SetOptions {
  std::filesystem::path folder;
  std::optional<std::filesystem::path> out{};  // where to write the computed tensors
  /// Linear layers of the transformers, by checkpoint name, whose outputs are computed besides.
  std::vector<std::string> taps{};
};

/// Computes all that the engine can of the set and reports each tensor. A model that cannot be read or run
/// counts as failed and does not stop the others.
Result<Counts> run_set(const SetOptions& options, Backend& backend, const Print& print);

}  // namespace turboclip::golden
