// Norms over the rows of an activation, and the rotary embedding.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/context.h"

namespace turboclip::cpu {

/// A row-major activation, [rows, width].
struct Rows {
  float* data;
  std::int64_t rows;
  std::int64_t width;
};

/// out = LayerNorm(x, eps 1e-6) * (1 + gain) + shift, with gain and shift [width] the same for all rows.
void modulated_layer_norm(const Context& context, const Rows& x, const float* gain, const float* shift,
                          float* out);

/// In place: x = x / sqrt(mean(x^2) + 1e-6) * weight, over the whole width.
void rms_norm(const Context& context, const Rows& x, const float* weight);

/// Cosines and sines of the rotary embedding of every token: 64 pairs each, 22 of time, 21 of height, 21 of
/// width; tokens in the order (time, height, width). Angles are computed in float64.
struct RotaryTable {
  std::vector<float> cosines;  // [tokens, 64]
  std::vector<float> sines;    // [tokens, 64]
};
RotaryTable make_rotary_table(std::int64_t frames, std::int64_t height, std::int64_t width);

/// In place: turns the pairs (x0, x1), (x2, x3) ... of each head of 128 by its token's angles.
void apply_rotary(const Context& context, const Rows& x, const RotaryTable& table);

}  // namespace turboclip::cpu
