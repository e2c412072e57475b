// Inputs of the CUDA kernels' tests, and what they mean in float32.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cpu/reference.h"
#include "cuda/device_array.h"
#include "cuda/numbers.h"
#include "engine/sampler/rcm.h"
#include "machine.h"

namespace turboclip::test {

inline std::vector<cuda::Bf16> to_bf16(const std::vector<float>& values) {
  std::vector<cuda::Bf16> out;
  out.reserve(values.size());
  for (const float value : values) {
    out.push_back({static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(round_to_bf16(value)) >> 16)});
  }
  return out;
}

inline std::vector<float> from_bf16(const std::vector<cuda::Bf16>& values) {
  std::vector<float> out;
  out.reserve(values.size());
  for (const cuda::Bf16 value : values) {
    out.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16));
  }
  return out;
}

/// Random values that are bfloat16 already.
inline std::vector<float> random_bf16(std::int64_t count, std::uint64_t seed) {
  return from_bf16(to_bf16(random_values(count, seed)));
}

/// INT8 rows with a scale per row and 128 channels, as the kernels hold them.
struct QuantizedRows {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  std::vector<std::int8_t> values;
  std::vector<float> scales;

  std::vector<float> to_float() const {
    std::vector<float> out(values.size());
    const std::int64_t stride = cuda::scale_stride(rows);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < width; ++c) {
        out[r * width + c] =
            static_cast<float>(values[r * width + c]) * scales[c / cuda::kScaleGroup * stride + r];
      }
    }
    return out;
  }
};

inline std::vector<std::int8_t> random_int8(std::int64_t count, std::uint64_t seed) {
  std::vector<std::int8_t> out;
  for (const float value : random_values(count, seed)) {
    out.push_back(static_cast<std::int8_t>(std::floor(value * 128)));  // -128 to 127, as in the checkpoints
  }
  return out;
}

inline QuantizedRows random_rows(std::int64_t rows, std::int64_t width, std::uint64_t seed) {
  QuantizedRows out{rows, width, random_int8(rows * width, seed), {}};
  out.scales = random_values(width / cuda::kScaleGroup * cuda::scale_stride(rows), seed + 1);
  for (float& scale : out.scales) scale = 0.01f * (1.5f + scale);
  return out;
}

/// Scales as the kernels store them, [groups][scale_stride(rows)]. Nobody writes the padding between groups,
/// so it is not read: it is NaN.
inline std::vector<float> download_scales(cuda::Queue& queue, const cuda::DeviceArray<float>& scales,
                                          std::int64_t rows) {
  const std::int64_t stride = cuda::scale_stride(rows);
  std::vector<float> out(static_cast<std::size_t>(scales.count()), std::numeric_limits<float>::quiet_NaN());
  for (std::int64_t first = 0; first < scales.count(); first += stride) {
    queue.copy("download", out.data() + first, scales.data() + first,
               static_cast<std::size_t>(rows) * sizeof(float), cudaMemcpyDeviceToHost);
  }
  (void)queue.finish();
  return out;
}

/// Both orders of the emulated warps: kernels that lack a barrier differ in one of them.
template <class Body>
void in_both_orders(const Body& body) {
  for (const emulator::Order order : {emulator::Order::ascending, emulator::Order::descending}) {
    emulator::set_order(order);
    body();
  }
  emulator::set_order(emulator::Order::ascending);
}

}  // namespace turboclip::test
