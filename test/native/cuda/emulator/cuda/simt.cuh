// native/cuda/simt.cuh in plain C++, for tests where no GPU is. It is stricter than a GPU where it can be: an
// asynchronous copy lands as late as the program allows, a warp's operation fails unless all its lanes take
// part, and shared memory starts out as garbage.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "cuda/half.h"
#include "machine.h"

namespace turboclip::cuda {

inline constexpr int kWarp = 32;

inline unsigned char* shared_memory() { return emulator::shared_memory(); }

inline void copy_async(void* shared, const void* global, int bytes) {
  emulator::copy_async(shared, global, 16, bytes);
}
inline void copy_async_word(void* shared, const void* global, int bytes) {
  emulator::copy_async(shared, global, 4, bytes);
}
inline void forget(unsigned&) {}
/// Touches memory, so that what is not the program's own is found.
inline void prefetch(const void* global) { (void)*static_cast<const volatile unsigned char*>(global); }
inline void copy_commit() { emulator::copy_commit(); }
template <int Open>
inline void copy_wait() {
  emulator::copy_wait(Open);
}

namespace detail {

inline void load_tiles(std::uint32_t (&out)[4], const void* row, bool transposed) {
  struct Lane {
    const unsigned char* row;
    std::uint32_t out[4];
  } lane{static_cast<const unsigned char*>(row), {}};
  emulator::require_shared(row, 16);
  const auto all = [transposed](void* const* slots) {
    for (int tile = 0; tile < 4; ++tile) {
      for (int i = 0; i < kWarp; ++i) {
        std::uint16_t pair[2];
        for (int j = 0; j < 2; ++j) {
          const int r = transposed ? i % 4 * 2 + j : i / 4;
          const int c = transposed ? i / 4 : i % 4 * 2 + j;
          std::memcpy(&pair[j], static_cast<Lane*>(slots[tile * 8 + r])->row + 2 * c, 2);
        }
        static_cast<Lane*>(slots[i])->out[tile] = pair[0] | static_cast<std::uint32_t>(pair[1]) << 16;
      }
    }
  };
  emulator::with_warp(transposed ? "ldmatrix.trans" : "ldmatrix", &lane, all);
  for (int i = 0; i < 4; ++i) out[i] = lane.out[i];
}

/// d = a b + c of 16 x Depth and Depth x 8 values, gathered from the fragments of all lanes and spread again
/// (https://docs.nvidia.com/cuda/parallel-thread-execution, "Matrix fragments for mma").
template <class Value, class Sum, int Depth, class Decode>
void multiply(const char* name, Sum (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              const Sum (&c)[4], const Decode& decode) {
  constexpr int kPer = Depth / 8;  // values in a register
  struct Lane {
    const std::uint32_t* a;
    const std::uint32_t* b;
    Sum c[4];
    Sum d[4];
  } lane{a, b, {c[0], c[1], c[2], c[3]}, {}};
  const auto all = [&decode](void* const* slots) {
    Value left[16][Depth];
    Value right[8][Depth];
    for (int i = 0; i < kWarp; ++i) {
      const auto* from = static_cast<Lane*>(slots[i]);
      for (int r = 0; r < 4; ++r) {
        for (int e = 0; e < kPer; ++e) {
          const int k = i % 4 * kPer + e + r / 2 * (Depth / 2);
          left[i / 4 + r % 2 * 8][k] = decode(from->a[r], e);
          if (r < 2) right[i / 4][i % 4 * kPer + e + r * (Depth / 2)] = decode(from->b[r], e);
        }
      }
    }
    for (int i = 0; i < kWarp; ++i) {
      auto* to = static_cast<Lane*>(slots[i]);
      for (int r = 0; r < 4; ++r) {
        Sum sum = to->c[r];
        const Value* x = left[i / 4 + r / 2 * 8];
        const Value* y = right[i % 4 * 2 + r % 2];
        for (int k = 0; k < Depth; ++k) sum += static_cast<Sum>(x[k]) * static_cast<Sum>(y[k]);
        to->d[r] = sum;
      }
    }
  };
  emulator::with_warp(name, &lane, all);
  for (int i = 0; i < 4; ++i) d[i] = lane.d[i];
}

/// The nearest e4m3, ties to even; 448 for what is larger; NaN for NaN.
inline std::uint32_t to_e4m3(float value) {
  const std::uint32_t sign = std::signbit(value) ? 0x80u : 0u;
  if (std::isnan(value)) return 0x7fu;
  const float size = std::fabs(value);
  if (size >= 448) return sign | 0x7eu;
  // From 2^-6 on in eighths of the power of two below, under it in steps of 2^-9.
  const int power = size < 0x1p-6f ? -6 : std::ilogb(size);
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(size, 3 - power)));
  return sign | static_cast<std::uint32_t>(8 * (power + 6) + steps);
}
inline float from_e4m3(std::uint32_t byte) {
  const int exponent = static_cast<int>(byte >> 3 & 15u);
  const int mantissa = static_cast<int>(byte & 7u);
  if ((byte & 0x7fu) == 0x7fu) return std::numeric_limits<float>::quiet_NaN();
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                   : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return (byte & 0x80u) != 0 ? -size : size;
}

}  // namespace detail

inline void load_tiles(std::uint32_t (&out)[4], const void* row) { detail::load_tiles(out, row, false); }
inline void load_tiles_transposed(std::uint32_t (&out)[4], const void* row) {
  detail::load_tiles(out, row, true);
}

inline void multiply_s8(std::int32_t (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                        const std::int32_t (&c)[4]) {
  detail::multiply<std::int8_t, std::int32_t, 32>("mma.s8", d, a, b, c, [](std::uint32_t bits, int e) {
    return static_cast<std::int8_t>(bits >> 8 * e);
  });
}
inline void multiply_add_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  const float c[4] = {d[0], d[1], d[2], d[3]};
  detail::multiply<float, float, 16>("mma.bf16", d, a, b, c, [](std::uint32_t bits, int e) {
    return std::bit_cast<float>(e == 0 ? bits << 16 : bits & 0xffff0000u);
  });
}

inline void multiply_add_f16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  const float c[4] = {d[0], d[1], d[2], d[3]};
  detail::multiply<float, float, 16>("mma.f16", d, a, b, c, [](std::uint32_t bits, int e) {
    return to_float(F16{static_cast<std::uint16_t>(bits >> 16 * e)});
  });
}

/// Sums of 32 products and c in float32, by ascending k, and one rounding to halves. Cards may add in another
/// order, and round between.
inline void multiply_e4m3(std::uint32_t (&d)[2], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                          const std::uint32_t (&c)[2]) {
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = to_float(F16{static_cast<std::uint16_t>(c[i / 2] >> 16 * (i % 2))});
  const float from[4] = {sums[0], sums[1], sums[2], sums[3]};
  detail::multiply<float, float, 32>("mma.e4m3", sums, a, b, from, [](std::uint32_t bits, int e) {
    return detail::from_e4m3(bits >> 8 * e & 0xffu);
  });
  for (int i = 0; i < 2; ++i) {
    d[i] = to_f16(sums[2 * i]).bits | static_cast<std::uint32_t>(to_f16(sums[2 * i + 1]).bits) << 16;
  }
}

inline std::uint32_t pack_bf16(float low, float high) {
  const auto round = [](float value) -> std::uint32_t {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return std::isnan(value) ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  };
  return round(low) | round(high) << 16;
}

inline std::uint32_t pack_f16(float low, float high) {
  return to_f16(low).bits | static_cast<std::uint32_t>(to_f16(high).bits) << 16;
}
inline float2 unpack_f16(std::uint32_t pair) {
  return make_float2(to_float(F16{static_cast<std::uint16_t>(pair)}),
                     to_float(F16{static_cast<std::uint16_t>(pair >> 16)}));
}
inline void multiply_add_f16(std::uint32_t (&d)[2], const std::uint32_t (&a)[4],
                             const std::uint32_t (&b)[2]) {
  float sums[4];
  for (int half = 0; half < 2; ++half) {
    const float2 two = unpack_f16(d[half]);
    sums[2 * half] = two.x;
    sums[2 * half + 1] = two.y;
  }
  multiply_add_f16(sums, a, b);
  for (int half = 0; half < 2; ++half) d[half] = pack_f16(sums[2 * half], sums[2 * half + 1]);
}

inline std::uint32_t pack_e4m3(float first, float second, float third, float fourth) {
  return detail::to_e4m3(first) | detail::to_e4m3(second) << 8 | detail::to_e4m3(third) << 16 |
         detail::to_e4m3(fourth) << 24;
}

inline float max_or_nan(float a, float b) {
  return std::isnan(a) || std::isnan(b) ? std::numeric_limits<float>::quiet_NaN() : std::max(a, b);
}

inline float reciprocal(float x) { return 1.0f / x; }
inline float exp2_fast(float x) { return std::exp2(x); }
inline float tanh_fast(float x) { return std::tanh(x); }

}  // namespace turboclip::cuda
