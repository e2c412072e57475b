#include "engine/quant/quantize_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <set>
#include <vector>

#include "engine/checkpoint/architecture.h"
#include "engine/checkpoint/names.h"
#include "engine/checkpoint/pth_writer.h"
#include "engine/quant/int8_blocks.h"
#include "engine/text.h"

namespace turboclip {
namespace {

enum class Treatment { keep, to_float, to_int8 };

/// A tensor of the original and what becomes of it.
struct Piece {
  std::string_view name;
  const TensorView* view;
  Treatment treatment;
};

bool is_floating(DType dtype) {
  return dtype == DType::f64 || dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

/// The reference keeps the norms inside blocks in float32.
bool is_norm(std::string_view name) {
  return name.ends_with(".norm_q.weight") || name.ends_with(".norm_k.weight") ||
         name.ends_with(".norm3.weight") || name.ends_with(".norm3.bias");
}

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

std::string_view without_weight(std::string_view name) {
  return name.substr(0, name.size() - std::string_view(".weight").size());
}

Error cancelled() { return Error{ErrorCode::cancelled, "cancelled while quantising"}; }

class Quantizer {
 public:
  Quantizer(const Checkpoint& checkpoint, const CancelFlag& cancel, const Progress& progress)
      : checkpoint_(checkpoint), cancel_(cancel), progress_(progress) {}

  /// Decides what becomes of each tensor, or says why this file cannot be quantised.
  Status plan() {
    const Status known = require_architecture(checkpoint_, Architecture::turbowan);
    if (!known) return known;
    const std::set<std::string, std::less<>> weights = block_weights();
    for (const auto& [name, view] : checkpoint_.tensors()) {
      if (name.ends_with(".int8_weight")) {
        return Error{ErrorCode::request_invalid, concat(path(), ": is quantised already (it holds ",
                                                        in_quotes(name), "); give the original")};
      }
      const bool is_weight = weights.contains(name);
      pieces_.push_back({name, &view,
                         is_weight       ? Treatment::to_int8
                         : is_norm(name) ? Treatment::to_float
                                         : Treatment::keep});
      if (!is_floating(view.dtype)) {
        return Error{ErrorCode::tensor_shape,
                     concat(path(), ": tensor ", in_quotes(name), " is of type ", dtype_name(view.dtype),
                            ", expected one of floating point; give the original")};
      }
    }
    return require_all(weights);
  }

  std::vector<TensorSpec> specs() const {
    std::vector<TensorSpec> specs;
    for (const auto& [name, view, treatment] : pieces_) {
      switch (treatment) {
        case Treatment::keep:
          specs.push_back({std::string(name), view->dtype, view->shape});
          break;
        case Treatment::to_float:
          specs.push_back({std::string(name), DType::f32, view->shape});
          break;
        case Treatment::to_int8:
          specs.push_back({concat(without_weight(name), ".int8_weight"), DType::i8, view->shape});
          specs.push_back({concat(without_weight(name), ".scale"),
                           DType::f32,
                           {int8_block_count(view->shape[0]), int8_block_count(view->shape[1])}});
          break;
      }
    }
    return specs;
  }

  Status write(PthWriter& out) const {
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      if (cancel_.requested) return cancelled();
      const Status written = write_piece(pieces_[i], out);
      if (!written) return written;
      checkpoint_.release(*pieces_[i].view);
      if (progress_) progress_(static_cast<double>(i + 1) / static_cast<double>(pieces_.size()));
    }
    return success();
  }

 private:
  std::string path() const { return checkpoint_.path().string(); }

  std::set<std::string, std::less<>> block_weights() const {
    std::set<std::string, std::less<>> names;
    for (std::int64_t block = 0; block < count_blocks(checkpoint_); ++block) {
      for (const std::string& layer : int8_layers(block)) names.insert(layer + ".weight");
    }
    return names;
  }

  /// Refuses a part of a model, such as one of the files that a large one is split into.
  Status require_all(const std::set<std::string, std::less<>>& weights) const {
    for (const std::string_view name : {"patch_embedding.weight", "head.head.weight"}) {
      const Result<const TensorView*> found = checkpoint_.require(name, {-1, -1});
      if (!found) return found.error();
    }
    for (const std::string& name : weights) {
      const Result<const TensorView*> found = checkpoint_.require(name, {-1, -1});
      if (!found) return found.error();
    }
    return success();
  }

  Status write_piece(const Piece& piece, PthWriter& out) const {
    switch (piece.treatment) {
      case Treatment::keep:
        return write_kept(*piece.view, out);
      case Treatment::to_float:
        return out.add(bytes_of(to_float(*piece.view).values));
      case Treatment::to_int8:
        return write_int8(piece, out);
    }
    return success();
  }

  /// Straight from the mapping if its order is right.
  static Status write_kept(const TensorView& view, PthWriter& out) {
    if (!view.contiguous()) return out.add(row_major_bytes(view));
    const auto count = static_cast<std::size_t>(element_count(view.shape));
    return out.add({view.data, count * dtype_size(view.dtype)});
  }

  /// A band of blocks at a time, so that the float32 copy stays small.
  Status write_int8(const Piece& piece, PthWriter& out) const {
    const std::int64_t rows = piece.view->shape[0];
    const std::int64_t columns = piece.view->shape[1];
    Int8Blocks whole{rows, columns, {}, {}};
    whole.values.reserve(static_cast<std::size_t>(rows * columns));
    for (std::int64_t row = 0; row < rows; row += kInt8Block) {
      if (cancel_.requested) return cancelled();
      const Tensor band = to_float(rows_of(*piece.view, row, std::min(kInt8Block, rows - row)));
      if (!std::all_of(band.values.begin(), band.values.end(), [](float x) { return std::isfinite(x); })) {
        return Error{ErrorCode::format_invalid,
                     concat(path(), ": tensor ", in_quotes(piece.name),
                            " holds values that are no numbers; fetch the file again")};
      }
      const Int8Blocks blocks = quantize_int8_blocks(band.data(), band.size(0), columns);
      whole.values.insert(whole.values.end(), blocks.values.begin(), blocks.values.end());
      whole.scales.insert(whole.scales.end(), blocks.scales.begin(), blocks.scales.end());
    }
    const Status written = out.add(bytes_of(whole.values));
    return written ? out.add(bytes_of(whole.scales)) : written;
  }

  const Checkpoint& checkpoint_;
  const CancelFlag& cancel_;
  const Progress& progress_;
  std::vector<Piece> pieces_;
};

Status quantize(const std::filesystem::path& in, const std::filesystem::path& out, Existing existing,
                const CancelFlag& cancel, const Progress& progress) {
  std::error_code ignored;
  if (std::filesystem::equivalent(in, out, ignored)) {
    return Error{ErrorCode::request_invalid,
                 concat(out.string(), ": is the file to be read; give another path to write to")};
  }
  const Result<Checkpoint> checkpoint = Checkpoint::open(in);
  if (!checkpoint) return checkpoint.error();
  Quantizer quantizer(checkpoint.value(), cancel, progress);
  const Status planned = quantizer.plan();
  if (!planned) return planned;
  Result<OutputFile> file = OutputFile::create(out, existing);
  if (!file) return file.error();
  PthWriter writer([&](std::span<const std::byte> bytes) { return file->write(bytes); }, quantizer.specs());
  Status status = writer.begin();
  if (status) status = quantizer.write(writer);
  if (status) status = writer.finish();
  return status ? file->commit() : status;
}

}  // namespace

Status quantize_checkpoint(const std::filesystem::path& in, const std::filesystem::path& out,
                           Existing existing, const CancelFlag& cancel, const Progress& progress) {
  try {
    return quantize(in, out, existing, cancel, progress);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::out_of_memory,
                 concat(in.string(), ": no memory left to quantise it; free memory and try again")};
  }
}

}  // namespace turboclip
