// The inner loops, compiled once for each instruction set and chosen at run time.
//
// Everything that is worth vectorising is one of two things: a register tile of a matrix product (linear
// layers, attention scores and sums, convolutions as implicit GEMM), or a pass over rows of floats.
#pragma once

#include <cstdint>

#include "cpu/kernels_int8.h"

namespace turboclip::cpu {

/// Columns of a packed panel: one AVX-512 register, two AVX2 ones, four SSE ones.
inline constexpr std::int64_t kPanel = 16;

/// A tile's left operand: `count` segments of `depth` values each, one after another along the reduction. Row
/// r of segment s begins at pointers[s] + r * stride. A matrix product has one segment; a 3x3x3 convolution
/// over channels-last frames has nine, each of three neighbouring pixels.
struct TileRows {
  const float* const* pointers = nullptr;
  std::int64_t count = 0;
  std::int64_t depth = 0;
  std::int64_t stride = 0;
};

/// A tile's right operand: `count` panels [reduction][kPanel], `step` floats from one to the next.
struct TilePanels {
  const float* values = nullptr;
  std::int64_t count = 1;
  std::int64_t step = 0;
};

struct Kernels {
  const char* name;
  /// Rows that one tile call computes at most.
  std::int64_t tile_rows;
  /// out[r][p * kPanel + c] = (accumulate ? what is there : 0) + sum over the reduction of left[r][k] *
  /// right[p][k][c], for r < rows <= tile_rows, all panels p and c < kPanel; out has row stride out_stride.
  /// The sum runs in order of k.
  void (*tile)(const TileRows& left, const TilePanels& right, float* out, std::int64_t out_stride,
               std::int64_t rows, bool accumulate);

  /// row[i] = exp(row[i] * scale - max), i < count; returns the sum. count is a multiple of kPanel.
  float (*exp_row)(float* row, std::int64_t count, float scale, float max);
  float (*max_row)(const float* row, std::int64_t count);
  /// out[i] += factor * in[i]
  void (*axpy)(float* out, const float* in, float factor, std::int64_t count);
  void (*scale_row)(float* row, float factor, std::int64_t count);
  float (*dot)(const float* a, const float* b, std::int64_t count);
  /// GELU, tanh form: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  void (*gelu)(float* row, std::int64_t count);
  void (*silu)(float* row, std::int64_t count);
  /// out = x * factor * weight: the tail of an RMS norm.
  void (*scaled)(float* out, const float* x, float factor, const float* weight, std::int64_t count);
  /// out = (x - mean) * factor * (1 + gain) + shift: the tail of a modulated layer norm.
  void (*modulated)(float* out, const float* x, float mean, float factor, const float* gain,
                    const float* shift, std::int64_t count);
  /// The W8A8 product's, of the best instructions that go with this set; never null.
  const Int8Kernel* int8;
};

/// The best set that this processor runs.
const Kernels& best_kernels();

const Kernels& portable_kernels();
/// nullptr where the processor (or the compiler's target) lacks the instructions.
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

}  // namespace turboclip::cpu
