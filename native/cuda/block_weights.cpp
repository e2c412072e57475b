#include "cuda/block_weights.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>

#include "cuda/device_share.h"
#include "engine/quant/int8_blocks.h"
#include "engine/text.h"

namespace turboclip::cuda {
namespace {

/// Bytes that one thread copies at a time.
constexpr std::int64_t kChunk = std::int64_t{1} << 20;

Int8Weight place_layer(Placing& place, std::int64_t out, std::int64_t in) {
  auto* values = place.next<std::int8_t>(out * in);
  auto* scales = place.next<float>(int8_block_count(out) * int8_block_count(in));
  return {values, scales, place.next<float>(out), out, in};
}

struct Placed {
  BlockWeights weights;
  BlockBytes bytes;
};

Placed place(const DenoiserConfig& config, unsigned char* step_base, unsigned char* once_base) {
  const std::int64_t width = config.width;
  Placing step(step_base);
  Placing once(once_base);
  BlockWeights w{};
  w.qkv = place_layer(step, 3 * width, width);
  w.o = place_layer(step, width, width);
  w.norm_q = step.next<float>(width);
  w.norm_k = step.next<float>(width);
  if (config.has_sla) {
    w.proj_l = step.next<float>(kHeadWidth * kHeadWidth);
    w.bias_l = step.next<float>(kHeadWidth);
  }
  w.gain3 = step.next<float>(width);
  w.shift3 = step.next<float>(width);
  w.cross_q = place_layer(step, width, width);
  w.cross_o = place_layer(step, width, width);
  w.ffn_in = place_layer(step, config.ffn, width);
  w.ffn_out = place_layer(step, width, config.ffn);
  w.cross_kv = place_layer(once, 2 * width, width);
  w.cross_norm_q = once.next<float>(width);
  w.cross_norm_k = once.next<float>(width);
  return {w, {step.bytes(), once.bytes()}};
}

/// An image's memory is ours to write; what computes with it only reads.
template <class Value>
Value* writable(const Value* place) {
  return const_cast<Value*>(place);
}

/// Finds a block's tensors and remembers what is to be done with them, which then all threads do; the first
/// failure is kept, and what follows it skipped.
class Reader {
 public:
  explicit Reader(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  void vector(const std::string& name, const Shape& shape, const float* to, float less = 0) {
    const TensorView* view = find(name, shape);
    if (view == nullptr) return;
    work_.push_back([view, to, less] {
      const Tensor values = to_float(*view);
      std::transform(values.values.begin(), values.values.end(), writable(to),
                     [&](float value) { return value - less; });
    });
  }

  /// The layers `names`, each [out, in], one after the other.
  void layers(std::initializer_list<std::string> names, std::int64_t out, std::int64_t in,
              const Int8Weight& to) {
    std::int64_t row = 0;
    for (const std::string& name : names) {
      Int8Weight part = to;
      part.values += row * in;
      part.scales += int8_block_count(row) * int8_block_count(in);
      part.out = out;
      layer(name, part);
      vector(name + ".bias", {out}, to.bias + row);
      row += out;
    }
  }

  Status finish(ThreadPool& threads) {
    if (failure_) return *failure_;
    threads.for_each(static_cast<std::int64_t>(work_.size()), [&](std::int64_t i) { work_[i](); });
    return success();
  }

 private:
  const TensorView* find(const std::string& name, const Shape& shape) {
    if (failure_) return nullptr;
    const Result<const TensorView*> view = checkpoint_.require(name, shape);
    if (view) return view.value();
    failure_ = view.error();
    return nullptr;
  }

  void layer(const std::string& name, const Int8Weight& to) {
    if (checkpoint_.find(name + ".int8_weight") == nullptr) return quantised(name, to);
    const TensorView* view = find(name + ".int8_weight", {to.out, to.in});
    if (view == nullptr) return;
    if (view->dtype != DType::i8 || !view->contiguous()) {
      failure_ = Error{ErrorCode::tensor_shape,
                       concat(checkpoint_.path().string(), ": tensor '", name, ".int8_weight' is ",
                              dtype_name(view->dtype), ", expected dense I8")};
      return;
    }
    const std::int64_t bytes = to.out * to.in;
    for (std::int64_t at = 0; at < bytes; at += kChunk) {
      work_.push_back([=, values = writable(to.values)] {
        std::memcpy(values + at, view->data + at, static_cast<std::size_t>(std::min(kChunk, bytes - at)));
      });
    }
    vector(name + ".scale", {int8_block_count(to.out), int8_block_count(to.in)}, to.scales);
  }

  void quantised(const std::string& name, const Int8Weight& to) {
    const TensorView* view = find(name + ".weight", {to.out, to.in});
    for (std::int64_t row = 0; view != nullptr && row < to.out; row += kInt8Block) {
      work_.push_back([=] {
        const std::int64_t count = std::min(kInt8Block, to.out - row);
        const Tensor rows = to_float(rows_of(*view, row, count));
        const Int8Blocks blocks = quantize_int8_blocks(rows.data(), count, to.in);
        std::copy(blocks.values.begin(), blocks.values.end(), writable(to.values) + row * to.in);
        std::copy(blocks.scales.begin(), blocks.scales.end(),
                  writable(to.scales) + row / kInt8Block * int8_block_count(to.in));
      });
    }
  }

  const Checkpoint& checkpoint_;
  std::optional<Error> failure_;
  std::vector<std::function<void()>> work_;
};

}  // namespace

BlockBytes block_bytes(const DenoiserConfig& config) { return place(config, nullptr, nullptr).bytes; }

BlockWeights place_block(const DenoiserConfig& config, unsigned char* step, unsigned char* once) {
  return place(config, step, once).weights;
}

Status read_block(const Checkpoint& checkpoint, const DenoiserConfig& config, std::int64_t index,
                  ThreadPool& threads, unsigned char* image) {
  const std::int64_t width = config.width;
  const std::string prefix = concat("blocks.", index, ".");
  const std::string self = prefix + "self_attn.";
  const std::string cross = prefix + "cross_attn.";
  const BlockWeights to = place_block(config, image, image + block_bytes(config).step);
  Reader reader(checkpoint);
  reader.layers({self + "q", self + "k", self + "v"}, width, width, to.qkv);
  reader.layers({self + "o"}, width, width, to.o);
  reader.vector(self + "norm_q.weight", {width}, to.norm_q);
  reader.vector(self + "norm_k.weight", {width}, to.norm_k);
  if (config.has_sla) {
    const std::string proj_l = self + "attn_op.local_attn.proj_l.";
    reader.vector(proj_l + "weight", {kHeadWidth, kHeadWidth}, to.proj_l);
    reader.vector(proj_l + "bias", {kHeadWidth}, to.bias_l);
  }
  // norm3's affine form is the modulation's: the norm adds 1 to the gain.
  reader.vector(prefix + "norm3.weight", {width}, to.gain3, 1);
  reader.vector(prefix + "norm3.bias", {width}, to.shift3);
  reader.layers({cross + "q"}, width, width, to.cross_q);
  reader.layers({cross + "o"}, width, width, to.cross_o);
  reader.layers({prefix + "ffn.0"}, config.ffn, width, to.ffn_in);
  reader.layers({prefix + "ffn.2"}, width, config.ffn, to.ffn_out);
  reader.layers({cross + "k", cross + "v"}, width, width, to.cross_kv);
  reader.vector(cross + "norm_q.weight", {width}, to.cross_norm_q);
  reader.vector(cross + "norm_k.weight", {width}, to.cross_norm_k);
  return reader.finish(threads);
}

}  // namespace turboclip::cuda
