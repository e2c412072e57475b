#include "engine/checkpoint.h"

#include <new>

#include "engine/checkpoint/mapped_file.h"
#include "engine/checkpoint/names.h"
#include "engine/checkpoint/pth.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/zip_archive.h"
#include "engine/text.h"

namespace turboclip {
namespace {

using TensorMap = std::map<std::string, TensorView, std::less<>>;

bool matches(const Shape& found, const Shape& expected) {
  if (found.size() != expected.size()) return false;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (expected[i] >= 0 && found[i] != expected[i]) return false;
  }
  return true;
}

/// "[2, any, 4]"
std::string expectation_text(const Shape& expected) {
  std::string out = "[";
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (i > 0) out += ", ";
    out += expected[i] < 0 ? "any" : std::to_string(expected[i]);
  }
  return out + "]";
}

}  // namespace

struct CheckpointBuilder {
  static Result<Checkpoint> build(const std::filesystem::path& path) {
    Result<std::shared_ptr<MappedFile>> file = MappedFile::open(path);
    if (!file) return file.error();
    const std::span<const std::byte> bytes = file.value()->bytes();
    Result<TensorMap> tensors = looks_like_zip(bytes) ? read_pth(bytes, path) : read_safetensors(bytes, path);
    if (!tensors) return tensors.error();
    tensors = with_official_names(std::move(tensors).value(), path);
    if (!tensors) return tensors.error();
    Checkpoint checkpoint;
    checkpoint.path_ = path;
    checkpoint.file_ = std::move(file).value();
    checkpoint.tensors_ = std::move(tensors).value();
    return checkpoint;
  }
};

Result<Checkpoint> Checkpoint::open(const std::filesystem::path& path) {
  try {
    return CheckpointBuilder::build(path);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::out_of_memory,
                 concat(path.string(), ": no memory left to read its header; free memory and try again")};
  }
}

const TensorView* Checkpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Result<const TensorView*> Checkpoint::require(std::string_view name, const Shape& expected) const {
  const TensorView* view = find(name);
  if (view == nullptr) {
    return Error{ErrorCode::tensor_missing,
                 concat(path_.string(), ": tensor ", in_quotes(name), " is missing, expected with shape ",
                        expectation_text(expected), "; use a checkpoint of the model it is loaded as")};
  }
  if (!matches(view->shape, expected)) {
    return Error{
        ErrorCode::tensor_shape,
        concat(path_.string(), ": tensor ", in_quotes(name), " has shape ", shape_text(view->shape),
               ", expected ", expectation_text(expected), "; use a checkpoint of the model it is loaded as")};
  }
  return view;
}

void Checkpoint::release(const TensorView& view) const {
  if (!view.contiguous()) return;
  file_->release({view.data, static_cast<std::size_t>(element_count(view.shape)) * dtype_size(view.dtype)});
}

Result<Tensor> Checkpoint::require_float(std::string_view name, const Shape& expected) const {
  const Result<const TensorView*> view = require(name, expected);
  if (!view) return view.error();
  return to_float(*view.value());
}

}  // namespace turboclip
