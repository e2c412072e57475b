#include "cpu/kernels.h"
#include "cpu/kernels_int8_quantize.h"

namespace turboclip::cpu {
namespace {

void tile(const Int8TileRows& left, const std::int8_t* panel, float weight_scale, float* out,
          std::int64_t out_stride, std::int64_t rows) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int8_t* x = left.values + r * left.stride;
    std::int32_t sums[kPanel] = {};
    for (std::int64_t k = 0; k < kInt8Slice; k += kInt8Group) {
      const std::int8_t* group = panel + k * kPanel;
      for (std::int64_t c = 0; c < kPanel; ++c) {
        for (std::int64_t i = 0; i < kInt8Group; ++i) sums[c] += x[k + i] * group[c * kInt8Group + i];
      }
    }
    const float scale = left.scales[r * left.scale_stride] * weight_scale;
    for (std::int64_t c = 0; c < kPanel; ++c) out[r * out_stride + c] += static_cast<float>(sums[c]) * scale;
  }
}

}  // namespace

const Int8Kernel& portable_int8_kernel() {
  static constexpr Int8Kernel kernel{"portable", 1, tile, quantize};
  return kernel;
}

}  // namespace turboclip::cpu
