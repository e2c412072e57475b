// umT5's weights on the device, under the names of the official checkpoints. The embedding table, a third of
// the file, is not among them: a prompt's rows of it come from the host.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/device_array.h"
#include "cuda/gemm_few_rows.h"
#include "engine/umt5_config.h"

namespace turboclip::cuda {

enum class TextPrecision { bf16, int8 };

/// Linear layers of the checkpoint, one after the other, as gemm_few_rows.h takes them.
struct PackedLayer {
  DeviceArray<unsigned char> values;
  DeviceArray<float> scales;  // INT8
  std::int64_t out = 0;
  std::int64_t in = 0;

  void allocate(Queue& queue, std::int64_t rows, std::int64_t columns, TextPrecision precision);
  PackedWeight view() const { return {values.data(), scales.data(), out, in}; }
};

struct Umt5Block {
  DeviceArray<float> norm1, norm2;  // [width]
  PackedLayer qkv;                  // [3 inner, width]
  PackedLayer o;                    // [width, inner]
  PackedLayer gate_up;              // [2 ffn, width]
  PackedLayer down;                 // [width, ffn]
  DeviceArray<float> bias;          // [heads][kDistances], as umt5_attention.h takes it
};

struct Umt5Weights {
  Umt5Config config;
  TextPrecision precision = TextPrecision::bf16;
  std::vector<Umt5Block> blocks;
  DeviceArray<float> norm;  // [width]

  /// Room for everything, uninitialised.
  static Umt5Weights allocate(Queue& queue, const Umt5Config& config, TextPrecision precision);
};

/// tensor_shape, saying what the device takes, unless it takes a model of these sizes.
Status check_umt5(const Checkpoint& checkpoint, const Umt5Config& config);

/// Bytes of device memory that the weights of such a model take, and the most that loading them takes
/// besides.
std::int64_t umt5_weight_bytes(const Umt5Config& config, TextPrecision precision);
std::int64_t umt5_loading_bytes(const Umt5Config& config, TextPrecision precision);

/// Reads the weights; those of linear layers are rounded to bfloat16 if they are not stored so, and quantised
/// on the device. scratch: umt5_loading_bytes() of the device. The first tensor that is missing or of another
/// shape is the error.
Result<Umt5Weights> load_umt5(Queue& queue, const Checkpoint& checkpoint, const Umt5Config& config,
                              TextPrecision precision, unsigned char* scratch);

}  // namespace turboclip::cuda
