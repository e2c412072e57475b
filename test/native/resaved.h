// A checkpoint saved anew with something about its tensors changed.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "engine/checkpoint.h"
#include "engine/checkpoint/safetensors.h"

namespace turboclip::test {

/// The tensor as it is stored; it must be contiguous.
inline NamedBytes stored(const std::string& name, const TensorView& view) {
  CHECK(view.contiguous());
  const auto size = static_cast<std::size_t>(element_count(view.shape)) * dtype_size(view.dtype);
  return {name, view.dtype, view.shape, {view.data, view.data + size}};
}

/// Writes every tensor that `change` leaves a name to, as safetensors.
inline void resave(const Checkpoint& original, const std::filesystem::path& path,
                   const std::function<void(NamedBytes&)>& change) {
  std::vector<NamedBytes> tensors;
  for (const auto& [name, view] : original.tensors()) {
    NamedBytes tensor = stored(name, view);
    change(tensor);
    if (!tensor.name.empty()) tensors.push_back(std::move(tensor));
  }
  CHECK(write_safetensors(path, std::move(tensors)).ok());
}

}  // namespace turboclip::test
