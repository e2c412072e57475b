// Compiled without contraction: the level of a value has the CPU engine's bits.
#include "cuda/numbers.cuh"
#include "cuda/nv12.h"
#include "engine/nv12.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 128;

struct Picture {
  const float* rgb;  // of all frames
  std::uint8_t* out;
  int height;
  int width;
};

/// One value's level; NaN fails every comparison.
__device__ __forceinline__ std::int32_t level(float value, bool& number) {
  number = number && value > -3.0e38f && value < 3.0e38f;
  const float scaled = value * 127.5f + 128.0f;
  if (!(scaled >= 1.0f)) return 0;
  return scaled >= 255.0f ? 255 : static_cast<std::int32_t>(scaled);
}

__device__ __forceinline__ RgbLevels pixel(const float* at, bool& number) {
  return {level(at[0], number), level(at[1], number), level(at[2], number)};
}

__device__ __forceinline__ void add(RgbLevels& sum, const RgbLevels& p, int times) {
  sum.r += times * p.r;
  sum.g += times * p.g;
  sum.b += times * p.b;
}

/// A thread 2 x 2 pixels, a block of them a pair of rows' share; a frame a layer of the grid.
__global__ void __launch_bounds__(kThreads) nv12_kernel(Picture picture, std::uint32_t* not_numbers) {
  const int column = 2 * static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  const int row = 2 * static_cast<int>(blockIdx.y);
  if (column >= picture.width) return;
  const std::int64_t pixels = static_cast<std::int64_t>(picture.height) * picture.width;
  const std::int64_t frame = static_cast<std::int64_t>(blockIdx.z);
  const float* rgb = picture.rgb + frame * pixels * 3;
  std::uint8_t* luma = picture.out + frame * nv12_bytes(picture.height, picture.width);
  bool numbers = true;
  RgbLevels sum{0, 0, 0};
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const std::int64_t first = static_cast<std::int64_t>(row + r) * picture.width + column;
    const float* at = rgb + first * 3;
    const RgbLevels here = pixel(at, numbers);
    const RgbLevels right = pixel(at + 3, numbers);
    add(sum, column == 0 ? here : pixel(at - 3, numbers), 1);
    add(sum, here, 2);
    add(sum, right, 1);
    luma[first] = nv12::luma(here);
    luma[first + 1] = nv12::luma(right);
  }
  std::uint8_t* chroma = luma + pixels + static_cast<std::int64_t>(row / 2) * picture.width + column;
  chroma[0] = nv12::cb(sum);
  chroma[1] = nv12::cr(sum);
  if (!numbers) *not_numbers = 1;
}

}  // namespace

void frames_to_nv12(Queue& queue, const float* rgb, std::int64_t frames, std::int64_t height,
                    std::int64_t width, std::uint8_t* out, std::uint32_t* not_numbers) {
  const Picture picture{rgb, out, static_cast<int>(height), static_cast<int>(width)};
  const dim3 blocks(static_cast<unsigned>(ceil_div(width / 2, kThreads)), static_cast<unsigned>(height / 2),
                    static_cast<unsigned>(frames));
  queue.launch("nv12", nv12_kernel, {blocks, kThreads, 0}, picture, not_numbers);
}

}  // namespace turboclip::cuda
