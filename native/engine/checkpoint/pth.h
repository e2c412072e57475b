// What torch.save writes: a zip of data.pkl, which describes the tensors, and one entry for each storage.
// https://pytorch.org/docs/stable/notes/serialization.html
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "engine/error.h"
#include "engine/tensor.h"

namespace turboclip {

/// The tensors of a state dict, borrowed from `file`. The dict may be the whole value or stand under
/// 'state_dict', 'model_state_dict' or 'model'; entries of it that are no tensors are passed over. Nothing in
/// the file is ever executed: see pickle.h. `path` is for messages only.
Result<std::map<std::string, TensorView, std::less<>>> read_pth(std::span<const std::byte> file,
                                                                const std::filesystem::path& path);

}  // namespace turboclip
