// The bodies of kernels.h over the compiler's vector types, included by one source file an instruction set.
// The includer defines TURBOCLIP_VECTOR_FLOATS (floats in one register), TURBOCLIP_TILE_ROWS (rows of a
// tile) and TURBOCLIP_TILE_PANELS (panels of a tile); the sums, kPanel floats a row and panel, stay in
// registers.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cpu/kernels.h"

namespace turboclip::cpu {
namespace {

constexpr std::int64_t kWidth = TURBOCLIP_VECTOR_FLOATS;
using Vector = float __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
using Ints = std::int32_t __attribute__((vector_size(4 * kWidth)));

inline Vector load(const float* p) { return *reinterpret_cast<const Vector*>(p); }
inline void store(float* p, Vector v) { *reinterpret_cast<Vector*>(p) = v; }
/// Subtracting zero is how the vector extension spells a broadcast; adding it would cost an instruction (-0).
inline Vector broadcast(float x) { return x - Vector{}; }
inline float sum(Vector v) {
  float total = 0;
  for (int i = 0; i < kWidth; ++i) total += v[i];
  return total;
}

/// Row r of a segment is groups[r / 3] + r % 3 * stride: every address is then a register, or one plus the
/// stride once or doubled, which the processor adds by itself.
constexpr int kRowGroup = 3;

template <int kRows, int kPanels>
void tile_of(const TileRows& left, const TilePanels& right, float* out, std::int64_t out_stride,
             bool accumulate) {
  constexpr int kParts = kPanels * static_cast<int>(kPanel / kWidth);
  constexpr int kGroups = (kRows + kRowGroup - 1) / kRowGroup;
  Vector sums[kRows][kParts];
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kParts; ++p) {
      sums[r][p] = accumulate ? load(out + r * out_stride + p * kWidth) : Vector{};
    }
  }
  const float* panel = right.values;
  for (std::int64_t s = 0; s < left.count; ++s) {
    const float* groups[kGroups];
#pragma GCC unroll 8
    for (int g = 0; g < kGroups; ++g) groups[g] = left.pointers[s] + g * kRowGroup * left.stride;
    for (std::int64_t k = 0; k < left.depth; ++k) {
      Vector columns[kParts];
#pragma GCC unroll 8
      for (int p = 0; p < kParts; ++p) {
        constexpr int kParted = static_cast<int>(kPanel / kWidth);
        columns[p] = load(panel + p / kParted * right.step + p % kParted * kWidth);
      }
      panel += kPanel;
#pragma GCC unroll 32
      for (int r = 0; r < kRows; ++r) {
        const Vector factor = broadcast(groups[r / kRowGroup][r % kRowGroup * left.stride]);
#pragma GCC unroll 8
        for (int p = 0; p < kParts; ++p) sums[r][p] += factor * columns[p];
      }
#pragma GCC unroll 8
      for (int g = 0; g < kGroups; ++g) ++groups[g];
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kParts; ++p) store(out + r * out_stride + p * kWidth, sums[r][p]);
  }
}

template <int kRows, int kPanels>
void tile_up_to(const TileRows& left, const TilePanels& right, float* out, std::int64_t out_stride,
                std::int64_t rows, bool accumulate) {
  if (rows == kRows) return tile_of<kRows, kPanels>(left, right, out, out_stride, accumulate);
  if constexpr (kRows > 1) {
    return tile_up_to<kRows - 1, kPanels>(left, right, out, out_stride, rows, accumulate);
  }
}

void tile(const TileRows& left, const TilePanels& right, float* out, std::int64_t out_stride,
          std::int64_t rows, bool accumulate) {
  constexpr int kAtOnce = TURBOCLIP_TILE_PANELS;
  std::int64_t p = 0;
  for (; p + kAtOnce <= right.count; p += kAtOnce) {
    tile_up_to<TURBOCLIP_TILE_ROWS, kAtOnce>(left, {right.values + p * right.step, kAtOnce, right.step},
                                             out + p * kPanel, out_stride, rows, accumulate);
  }
  for (; p < right.count; ++p) {
    tile_up_to<TURBOCLIP_TILE_ROWS, 1>(left, {right.values + p * right.step}, out + p * kPanel, out_stride,
                                       rows, accumulate);
  }
}

/// exp by 2^n times a polynomial of the rest on [-ln2/2, ln2/2] (the Taylor series to degree 7: 1e-8
/// relative); arguments are clamped to where the result is a normal number.
inline Vector exp_of(Vector x) {
  x = x < -87.0f ? broadcast(-87.0f) : x;
  x = x > 88.0f ? broadcast(88.0f) : x;
  // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
  const Vector shifted = x * 1.44269504088896341f + 12582912.0f;
  const Vector n = shifted - 12582912.0f;
  // ln 2 in two parts: n * 0.693359375 is exact.
  const Vector r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Vector p = broadcast(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Ints exponent = (reinterpret_cast<Ints>(shifted) - 0x4B400000 + 127) << 23;
  return p * reinterpret_cast<Vector>(exponent);
}

/// Runs `body` over whole vectors, and over a zero-padded copy of what is left.
template <class Body>
inline void map_row(float* row, std::int64_t count, Body body) {
  std::int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(row + i, body(load(row + i)));
  if (i == count) return;
  float rest[kWidth] = {};
  std::memcpy(rest, row + i, static_cast<std::size_t>(count - i) * sizeof(float));
  store(rest, body(load(rest)));
  std::memcpy(row + i, rest, static_cast<std::size_t>(count - i) * sizeof(float));
}

float exp_row(float* row, std::int64_t count, float scale, float max) {
  Vector total{};
  for (std::int64_t i = 0; i < count; i += kWidth) {
    const Vector e = exp_of(load(row + i) * scale - max);
    store(row + i, e);
    total += e;
  }
  return sum(total);
}

float max_row(const float* row, std::int64_t count) {
  float best = row[0];
  std::int64_t i = 0;
  if (count >= kWidth) {
    Vector bests = load(row);
    for (i = kWidth; i + kWidth <= count; i += kWidth) {
      const Vector values = load(row + i);
      bests = values > bests ? values : bests;
    }
    for (int lane = 0; lane < kWidth; ++lane) best = bests[lane] > best ? bests[lane] : best;
  }
  for (; i < count; ++i) best = row[i] > best ? row[i] : best;
  return best;
}

void axpy(float* out, const float* in, float factor, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] += factor * in[i];
}

void scale_row(float* row, float factor, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) row[i] *= factor;
}

float dot(const float* a, const float* b, std::int64_t count) {
  Vector total{};
  std::int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) total += load(a + i) * load(b + i);
  float rest = 0;
  for (; i < count; ++i) rest += a[i] * b[i];
  return sum(total) + rest;
}

inline Vector sigmoid(Vector x) { return 1.0f / (1.0f + exp_of(-x)); }

void gelu(float* row, std::int64_t count) {
  // 0.5 (1 + tanh(u)) = sigmoid(2 u)
  map_row(row, count,
          [](Vector x) { return x * sigmoid(1.5957691216057308f * (x + 0.044715f * x * x * x)); });
}

void silu(float* row, std::int64_t count) {
  map_row(row, count, [](Vector x) { return x * sigmoid(x); });
}

void scaled(float* out, const float* x, float factor, const float* weight, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = x[i] * factor * weight[i];
}

void modulated(float* out, const float* x, float mean, float factor, const float* gain, const float* shift,
               std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = (x[i] - mean) * factor * (1 + gain[i]) + shift[i];
}

Kernels make_kernels(const char* name, const Int8Kernel& int8) {
  return {name,   TURBOCLIP_TILE_ROWS, tile, exp_row, max_row, axpy, scale_row, dot, gelu, silu,
          scaled, modulated,           &int8};
}

}  // namespace
}  // namespace turboclip::cpu
