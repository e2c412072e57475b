#include "cuda/umt5_weights.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>

#include "cuda/device_share.h"
#include "cuda/pinned.h"
#include "cuda/tensor_reader.h"
#include "cuda/umt5_attention.h"
#include "cuda/umt5_passes.h"
#include "engine/sampler/rcm.h"
#include "engine/text.h"
#include "engine/thread_pool.h"

namespace turboclip::cuda {
namespace {

constexpr double kLog2E = 1.4426950408889634;

std::int64_t layer_bytes(std::int64_t out, std::int64_t in, TextPrecision precision) {
  if (precision == TextPrecision::bf16) return 2 * out * in;
  return out * in + 4 * (out / kScaleGroup) * (in / kScaleGroup);
}

std::int64_t largest_matrix(const Umt5Config& config) {
  return config.width * std::max(config.ffn, config.inner);
}

/// Bytes that one thread reads at a time.
constexpr std::int64_t kChunk = std::int64_t{1} << 20;

/// While one matrix is on its way to the device, the host's threads read the next one.
class Loader : public TensorReader {
 public:
  Loader(Queue& queue, const Checkpoint& checkpoint, const Umt5Config& config, TextPrecision precision,
         unsigned char* scratch)
      : TensorReader(queue, checkpoint),
        threads_(host_threads()),
        staging_{Pinned(queue, 2 * largest_matrix(config)), Pinned(queue, 2 * largest_matrix(config))},
        copied_{Mark(queue), Mark(queue)} {
    Placing where(scratch);
    put(where, matrix_, largest_matrix(config));
    if (precision == TextPrecision::int8) put(where, quantised_, largest_matrix(config));
  }

  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader() { (void)queue_.finish(); }  // before the staging goes

  void upload(const std::vector<float>& values, DeviceArray<float>& to) {
    if (!status()) return;
    queue_.copy("upload", to.data(), values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice);
    (void)queue_.finish();
  }

  /// The layers `names`, of equally many outputs, one after the other.
  void matrices(std::initializer_list<std::string> names, PackedLayer& layer) {
    const std::int64_t out = layer.out / static_cast<std::int64_t>(names.size());
    std::int64_t done = 0;
    for (const std::string& name : names) {
      matrix(name, out, layer, done);
      done += out;
    }
  }

 private:
  /// Rows `done` and on of the layer. Strips of rows lie one after the other, so that a matrix is packed
  /// where it belongs.
  void matrix(const std::string& name, std::int64_t out, PackedLayer& layer, std::int64_t done) {
    if (!status()) return;
    const Result<const TensorView*> found = checkpoint_.require(name, {out, layer.in});
    if (!found) {
      fail(found.error());
      return;
    }
    copied_[turn_].wait(queue_);
    if (!status()) return;
    auto* staged = reinterpret_cast<Bf16*>(staging_[turn_].data());
    read(*found.value(), staged);
    queue_.copy("upload", matrix_.data(), staged, static_cast<std::size_t>(2 * out * layer.in),
                cudaMemcpyHostToDevice);
    copied_[turn_].set(queue_);
    turn_ = 1 - turn_;
    if (layer.scales.count() == 0) {
      pack_weight(queue_, matrix_.data(), out, 2 * layer.in, layer.values.data() + 2 * done * layer.in);
    } else {
      quantize_weight(queue_, matrix_.data(), out, layer.in, quantised_.data(),
                      layer.scales.data() + done / kScaleGroup * (layer.in / kScaleGroup));
      pack_weight(queue_, quantised_.data(), out, layer.in, layer.values.data() + done * layer.in);
    }
  }

  /// The matrix in bfloat16; the file's pages are given back.
  void read(const TensorView& view, Bf16* out) {
    const std::int64_t in = view.shape[1];
    const std::int64_t rows = std::max<std::int64_t>(1, kChunk / (2 * in));
    const bool as_it_is = view.dtype == DType::bf16 && view.contiguous();
    threads_.for_each((view.shape[0] + rows - 1) / rows, [&](std::int64_t chunk) {
      const std::int64_t first = chunk * rows;
      const TensorView part = rows_of(view, first, std::min(rows, view.shape[0] - first));
      const std::int64_t count = part.shape[0] * in;
      Bf16* to = out + first * in;
      if (as_it_is) {
        std::memcpy(to, part.data, static_cast<std::size_t>(2 * count));
        return;
      }
      const Tensor values = to_float(part);
      std::transform(values.values.begin(), values.values.end(), to, [](float value) {
        return Bf16{static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(round_to_bf16(value)) >> 16)};
      });
    });
    if (view.contiguous()) checkpoint_.release(view);
  }

  ThreadPool threads_;
  const Pinned staging_[2];  // whose turn it is, and the other on its way
  const Mark copied_[2];
  std::size_t turn_ = 0;
  DeviceArray<Bf16> matrix_;
  DeviceArray<std::int8_t> quantised_;
};

/// table: [kPositionBuckets, heads].
std::vector<float> biases_by_distance(const std::vector<float>& table, std::int64_t heads) {
  std::vector<float> out(static_cast<std::size_t>(heads * kDistances));
  for (std::int64_t place = 0; place + 1 < kDistances; ++place) {
    const std::int64_t bucket = position_bucket(place - (kMostTokens - 1));
    for (std::int64_t head = 0; head < heads; ++head) {
      const double bias = table[static_cast<std::size_t>(bucket * heads + head)];
      out[static_cast<std::size_t>(head * kDistances + place)] = static_cast<float>(bias * kLog2E);
    }
  }
  return out;
}

void load_block(Loader& loader, const std::string& prefix, const Umt5Config& config, Umt5Block& out) {
  loader.upload(loader.vector(prefix + "norm1.weight", {config.width}), out.norm1);
  loader.upload(loader.vector(prefix + "norm2.weight", {config.width}), out.norm2);
  const std::vector<float> table =
      loader.vector(prefix + "pos_embedding.embedding.weight", {kPositionBuckets, config.heads});
  if (loader.status()) loader.upload(biases_by_distance(table, config.heads), out.bias);
  loader.matrices({prefix + "attn.q.weight", prefix + "attn.k.weight", prefix + "attn.v.weight"}, out.qkv);
  loader.matrices({prefix + "attn.o.weight"}, out.o);
  loader.matrices({prefix + "ffn.gate.0.weight", prefix + "ffn.fc1.weight"}, out.gate_up);
  loader.matrices({prefix + "ffn.fc2.weight"}, out.down);
}

}  // namespace

void PackedLayer::allocate(Queue& queue, std::int64_t rows, std::int64_t columns, TextPrecision precision) {
  out = rows;
  in = columns;
  const bool int8 = precision == TextPrecision::int8;
  values.allocate(queue, rows * columns * (int8 ? 1 : 2));
  if (int8) scales.allocate(queue, rows / kScaleGroup * (columns / kScaleGroup));
}

Umt5Weights Umt5Weights::allocate(Queue& queue, const Umt5Config& config, TextPrecision precision) {
  Umt5Weights weights;
  weights.config = config;
  weights.precision = precision;
  weights.norm.allocate(queue, config.width);
  weights.blocks.resize(static_cast<std::size_t>(config.layers));
  for (Umt5Block& block : weights.blocks) {
    block.norm1.allocate(queue, config.width);
    block.norm2.allocate(queue, config.width);
    block.qkv.allocate(queue, 3 * config.inner, config.width, precision);
    block.o.allocate(queue, config.width, config.inner, precision);
    block.gate_up.allocate(queue, 2 * config.ffn, config.width, precision);
    block.down.allocate(queue, config.width, config.ffn, precision);
    block.bias.allocate(queue, config.heads * kDistances);
  }
  return weights;
}

Status check_umt5(const Checkpoint& checkpoint, const Umt5Config& config) {
  const std::int64_t head = config.inner / config.heads;
  const bool whole = config.width % kScaleGroup == 0 && config.inner % kScaleGroup == 0 &&
                     config.ffn % kScaleGroup == 0 && config.width >= kScaleGroup &&
                     config.ffn >= kScaleGroup;
  if (whole && config.width <= kMostTextWidth && (head == 32 || head == 64)) return success();
  return Error{ErrorCode::tensor_shape,
               concat(checkpoint.path().string(), ": text rows of ", config.width, " values, ", config.heads,
                      " heads of ", head, " and a feed-forward width of ", config.ffn,
                      "; the device takes multiples of ", kScaleGroup, ", rows up to ", kMostTextWidth,
                      " and heads of 32 or 64: encode on the host (TURBOCLIP_TEXT_ENCODER=host)")};
}

std::int64_t umt5_weight_bytes(const Umt5Config& config, TextPrecision precision) {
  const auto layer = [&](std::int64_t out, std::int64_t in) { return layer_bytes(out, in, precision); };
  const std::int64_t block = layer(3 * config.inner, config.width) + layer(config.width, config.inner) +
                             layer(2 * config.ffn, config.width) + layer(config.width, config.ffn) +
                             4 * (2 * config.width + config.heads * kDistances);
  return config.layers * block + 4 * config.width;
}

std::int64_t umt5_loading_bytes(const Umt5Config& config, TextPrecision precision) {
  return largest_matrix(config) * (precision == TextPrecision::int8 ? 3 : 2);
}

Result<Umt5Weights> load_umt5(Queue& queue, const Checkpoint& checkpoint, const Umt5Config& config,
                              TextPrecision precision, unsigned char* scratch) {
  Umt5Weights weights = Umt5Weights::allocate(queue, config, precision);
  Loader loader(queue, checkpoint, config, precision, scratch);
  for (std::size_t i = 0; i < weights.blocks.size() && loader.status(); ++i) {
    load_block(loader, concat("blocks.", i, "."), config, weights.blocks[i]);
  }
  loader.upload(loader.vector("norm.weight", {config.width}), weights.norm);
  const Status loaded = loader.status();
  if (!loaded) return loaded.error();
  return weights;
}

}  // namespace turboclip::cuda
