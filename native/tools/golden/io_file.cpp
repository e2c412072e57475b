#include "tools/golden/io_file.h"

#include <algorithm>
#include <cstring>

#include "engine/text.h"

namespace turboclip::golden {
namespace {

/// How tensors of a name are compared.
enum class Comparison { close, equal, same_blocks };

Comparison comparison_of(std::string_view name) {
  if (name.ends_with(".lut")) return Comparison::same_blocks;
  if (name.ends_with(".block_map")) return Comparison::equal;
  return Comparison::close;
}

/// The type that the reference programme stores tensors of this name in.
DType default_dtype(Comparison comparison) {
  switch (comparison) {
    case Comparison::same_blocks:
      return DType::i32;
    case Comparison::equal:
      return DType::i8;
    case Comparison::close:
      return DType::f32;
  }
  return DType::f32;
}

/// Entries that differ. Rows of a block list are compared as sets: the order in which a top-k lists its
/// blocks has no meaning.
std::size_t differences(Tensor value, Tensor reference, Comparison comparison) {
  const auto row = static_cast<std::ptrdiff_t>(reference.shape.empty() ? 1 : reference.shape.back());
  if (comparison == Comparison::same_blocks && row > 0) {
    for (Tensor* tensor : {&value, &reference}) {
      for (auto at = tensor->values.begin(); at != tensor->values.end(); at += row) std::sort(at, at + row);
    }
  }
  std::size_t count = 0;
  for (std::size_t i = 0; i < value.values.size(); ++i)
    count += value.values[i] != reference.values[i] ? 1 : 0;
  return count;
}

template <class T>
void append(std::vector<std::byte>& bytes, T value) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

std::vector<std::byte> encode(const Tensor& tensor, Comparison comparison) {
  std::vector<std::byte> bytes;
  for (const float value : tensor.values) {
    switch (comparison) {
      case Comparison::same_blocks:
        append(bytes, static_cast<std::int32_t>(value));
        break;
      case Comparison::equal:
        append(bytes, static_cast<std::int8_t>(value));
        break;
      case Comparison::close:
        append(bytes, value);
        break;
    }
  }
  return bytes;
}

Shape with_batch(const Shape& shape) {
  Shape out{1};
  out.insert(out.end(), shape.begin(), shape.end());
  return out;
}

}  // namespace

Result<Tensor> IoFile::input(std::string_view name, Shape expected) const {
  Result<Tensor> tensor = file_.require_float(name, with_batch(expected));
  if (tensor) tensor->shape.erase(tensor->shape.begin());
  return tensor;
}

void IoFile::result(const std::string& name, Tensor value, Counts& counts) {
  const Comparison comparison = comparison_of(name);
  const TensorView* view = file_.find(name);
  ++counts.computed;
  const Shape shape = with_batch(value.shape);
  results_.push_back({name, default_dtype(comparison), shape, encode(value, comparison)});
  if (view == nullptr) {
    print_(report_line(model(), name, shape, "no reference; written if --out is given"));
    return;
  }
  if (view->shape != shape) {
    ++counts.failed;
    print_(
        report_line(model(), name, shape, concat("FAIL: the reference has shape ", shape_text(view->shape))));
    return;
  }
  std::string verdict;
  bool good = false;
  if (comparison == Comparison::close) {
    const double error = relative_error(value, to_float(*view));
    good = error <= tolerance_;  // false for NaN
    verdict = error_verdict(error, tolerance_);
  } else {
    const std::size_t wrong = differences(std::move(value), to_float(*view), comparison);
    good = wrong == 0;
    verdict = concat("differs in ", wrong, "    tolerance 0       ", good ? "  ok" : "  FAIL");
  }
  if (!good) ++counts.failed;
  print_(report_line(model(), name, shape, verdict));
}

Status IoFile::write(const std::filesystem::path& folder) const {
  if (results_.empty()) return success();
  return write_safetensors(folder / (model_ + ".io.safetensors"), results_);
}

}  // namespace turboclip::golden
