// Device memory of one clip: what stays the same over its steps, and the activations of a step.
#pragma once

#include <algorithm>
#include <vector>

#include "cuda/cross_attention.h"
#include "cuda/device_array.h"
#include "cuda/latent.h"
#include "cuda/rotary.h"
#include "cuda/self_attention.h"
#include "engine/backend.h"

namespace turboclip::cuda {

struct RunState {
  HeadShape heads{};
  std::int64_t kept = 0;  // key blocks of a query block
  bool sla = false;
  std::int64_t text_rows = 0;
  float last_bias = 0;  // of the text row that stands for all padding

  // The clip's.
  RotaryTables angles;
  DeviceArray<float> image;                   // [in_channels - 16, T, h, w]
  std::vector<DeviceArray<Bf16>> cross_keys;  // by block: [text rows, 2 C]
  // The sampler's.
  DeviceArray<float> x;  // [16, T, h, w]: what velocity() is given
  DeviceArray<float> v;
  DeviceArray<double> state;
  DeviceArray<SamplerStep> step;
  DeviceArray<float> modulation;  // [layers][6][C], [2][C]
  // What the prompt goes through on its way to the keys.
  DeviceArray<Bf16> text_in, text_hidden,
      text_embedded;                     // [text rows, text width], [text rows, C], [text rows, C]
  DeviceArray<std::int8_t> text_values;  // [text rows, C]
  DeviceArray<float> text_scales, text_squares, text_inverse;
  // A step's.
  DeviceArray<Bf16> tokens;       // [L, in_channels * 4]
  DeviceArray<Bf16> stream;       // [L, C], the residual stream
  DeviceArray<std::int8_t> rows;  // [L, C]: a linear layer's input
  DeviceArray<float> row_scales;  // [C / 128][scale_stride(L)]
  DeviceArray<Bf16> projections;  // [L, 3 C]; q of cross-attention and the head's input lie in it too
  DeviceArray<float> squares;     // [3 H][scale_stride(L)]
  DeviceArray<float> q_inverse, k_inverse;  // [L]
  DeviceArray<std::int8_t> hidden;          // [L, ffn]
  DeviceArray<float> hidden_scales;         // [ffn / 128][scale_stride(L)]
  DeviceArray<float> outputs;               // [L, 64], the head's
  // Self-attention's (self_attention.h).
  DeviceArray<float> k_offset, q_scales, k_scales, q_sums, k_means, v_scales, parts, sums;
  DeviceArray<std::int8_t> q, k;
  DeviceArray<E4m3> v_values;  // lies in `hidden`, whose time in a block comes when attention's is over
  DeviceArray<Bf16> matrix;
  DeviceArray<std::int32_t> lut;

  /// Places all of it, for a clip of this shape whose prompt has `text` rows and whose attention takes these
  /// tiles, and returns its bytes; without a base it only counts.
  std::int64_t place(unsigned char* base, const DenoiserConfig& config, const LatentShape& shape,
                     const DenoiserSettings& settings, std::int64_t text, AttentionTiles tiles);
  /// The same in memory of its own.
  void allocate(Queue& queue, const DenoiserConfig& config, const LatentShape& shape,
                const DenoiserSettings& settings, AttentionTiles tiles);

  Projections head_projections() { return {projections.data(), q_inverse.data(), k_inverse.data()}; }
  Heads head_views() {
    return {k_offset.data(), q.data(),       q_scales.data(), k.data(),       k_scales.data(),
            q_sums.data(),   k_means.data(), v_values.data(), v_scales.data()};
  }
  LinearState linear_state() { return {parts.data(), matrix.data(), sums.data()}; }
  TextKeys text_keys(std::size_t block) { return {cross_keys[block].data(), text_rows, last_bias}; }

 private:
  void shape_for(const DenoiserConfig& config, const LatentShape& shape, const DenoiserSettings& settings);

  DeviceArray<unsigned char> own_;  // of allocate()
};

/// Rows of keys that stand for a prompt of so many tokens: one more for all the rows past it.
inline std::int64_t key_rows(std::int64_t tokens) { return std::min(kTextRows, tokens + 1); }

}  // namespace turboclip::cuda
