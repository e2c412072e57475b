// The sums of the portable convolutions' products.
#pragma once

#include "cuda/simt.cuh"

namespace turboclip::cuda {

/// What mma.sync adds up in. `halves`: at most 96 products, whose sum is then added to a float32 one; a
/// GeForce card multiplies twice as fast so (docs/decisions/0144-half-sums-in-convolutions.md).
enum class ProductSums { floats, halves };

/// Products of a few taps, Rows times 16 pixels by 8 * Tiles columns, on their way to float32 sums.
template <ProductSums Kind, int Rows, int Tiles>
class TapProducts {
 public:
  using Sums = float[Rows][Tiles][4];

  __device__ __forceinline__ explicit TapProducts(Sums& sums) : sums_(sums) {}

  __device__ __forceinline__ void add(int row, int tile, const std::uint32_t (&a)[4],
                                      const std::uint32_t (&b)[2]) {
    if constexpr (Kind == ProductSums::floats) {
      multiply_add_f16(sums_[row][tile], a, b);
    } else {
      multiply_add_f16(halves_[row][tile], a, b);
    }
  }

  __device__ __forceinline__ void finish() {
    if constexpr (Kind == ProductSums::halves) {
#pragma unroll
      for (int row = 0; row < Rows; ++row) {
#pragma unroll
        for (int tile = 0; tile < Tiles; ++tile) {
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const float2 two = unpack_f16(halves_[row][tile][half]);
            sums_[row][tile][2 * half] += two.x;
            sums_[row][tile][2 * half + 1] += two.y;
          }
        }
      }
    }
  }

 private:
  static constexpr int kRowsOfHalves = Kind == ProductSums::halves ? Rows : 1;  // an array has one at least
  Sums& sums_;
  std::uint32_t halves_[kRowsOfHalves][Tiles][2] = {};
};

}  // namespace turboclip::cuda
