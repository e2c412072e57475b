#include "tools/golden/int8_linear.h"

#include <bit>
#include <cstring>

#include "engine/checkpoint/safetensors.h"
#include "engine/quant/int8_blocks.h"
#include "engine/text.h"
#include "tools/golden/int8_compare.h"

namespace turboclip::golden {
namespace {

constexpr double kScaleTolerance = 1e-6;
constexpr double kProductTolerance = 2e-3;

/// To nearest, ties to even; finite values only.
std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// Compares what was computed with the file's tensors and keeps it to be written.
class Results {
 public:
  Results(const Checkpoint& file, const Print& print, Counts& counts)
      : file_(file), print_(print), counts_(counts) {}

  void blocks(const std::string& name, const Int8Blocks& blocks) {
    const Shape shape{blocks.rows, blocks.columns};
    kept_.push_back({name + "_q", DType::i8, shape, bytes_of(blocks.values)});
    if (const TensorView* view = reference(name + "_q", shape, DType::i8)) {
      Int8Difference difference;
      difference.add(blocks.values, {reinterpret_cast<const std::int8_t*>(view->data), blocks.values.size()});
      report(name + "_q", shape, difference.verdict(), difference.good());
    }
    Tensor scales({int8_block_count(blocks.rows), int8_block_count(blocks.columns)});
    scales.values = blocks.scales;
    kept_.push_back({name + "_scale", DType::f32, scales.shape, bytes_of(scales.values)});
    close(name + "_scale", scales, DType::f32, kScaleTolerance);
  }

  void product(Tensor y) {
    std::vector<std::uint16_t> stored;
    for (float& value : y.values) {
      stored.push_back(to_bf16(value));
      value = std::bit_cast<float>(std::uint32_t{stored.back()} << 16);
    }
    kept_.push_back({"y", DType::bf16, y.shape, bytes_of(stored)});
    close("y", y, DType::bf16, kProductTolerance);
  }

  std::vector<NamedBytes> take() { return std::move(kept_); }

 private:
  void close(const std::string& name, const Tensor& value, DType dtype, double tolerance) {
    const TensorView* view = reference(name, value.shape, dtype);
    if (view == nullptr) return;
    const double error = relative_error(value, to_float(*view));
    report(name, value.shape, error_verdict(error, tolerance), error <= tolerance);
  }

  /// nullptr, having said so, where there is none or it cannot be compared.
  const TensorView* reference(const std::string& name, const Shape& shape, DType dtype) {
    const TensorView* view = file_.find(name);
    if (view == nullptr) {
      report(name, shape, "no reference; written if --out is given", true);
      return nullptr;
    }
    if (view->shape == shape && view->dtype == dtype && view->contiguous()) return view;
    report(name, shape,
           concat("FAIL: the reference is ", dtype_name(view->dtype), " of shape ", shape_text(view->shape)),
           false);
    return nullptr;
  }

  void report(const std::string& name, const Shape& shape, const std::string& verdict, bool good) {
    ++counts_.computed;
    if (!good) ++counts_.failed;
    print_(report_line("int8", name, shape, verdict));
  }

  const Checkpoint& file_;
  const Print& print_;
  Counts& counts_;
  std::vector<NamedBytes> kept_;
};

}  // namespace

Status run_int8_linear(const Checkpoint& file, Backend& backend,
                       const std::optional<std::filesystem::path>& out, const Print& print, Counts& counts) {
  const Result<Tensor> x = file.require_float("x", {-1, -1});
  if (!x) return x.error();
  const Result<Tensor> w = file.require_float("w", {-1, x.value().size(1)});
  if (!w) return w.error();
  const Int8Blocks x_blocks = quantize_int8_blocks(x.value().data(), x.value().size(0), x.value().size(1));
  const Int8Blocks w_blocks = quantize_int8_blocks(w.value().data(), w.value().size(0), w.value().size(1));
  Results results(file, print, counts);
  results.blocks("x", x_blocks);
  results.blocks("w", w_blocks);
  Result<Tensor> y = backend.int8_product(x_blocks, w_blocks);
  if (!y) return y.error();
  results.product(std::move(y).value());
  if (!out) return success();
  return write_safetensors(*out / file.path().filename(), results.take());
}

}  // namespace turboclip::golden
