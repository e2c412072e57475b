#include "cuda/numbers.cuh"
#include "cuda/video_passes.h"
#include "engine/backend.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanesPerPixel = 4;
constexpr float kLargest = 1e12f;  // 1 / the shortest length

__device__ __forceinline__ void load_f16(float (&out)[8], const F16* from) {
  const uint4 raw = *reinterpret_cast<const uint4*>(from);
  const std::uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 two = unpack_f16(words[i]);
    out[2 * i] = two.x;
    out[2 * i + 1] = two.y;
  }
}

__device__ __forceinline__ float silu(float x) {
  return x * reciprocal(1.0f + exp2_fast(x * -1.4426950409f));
}

/// Four lanes a pixel, which read it twice: the second time it lies in the first-level cache.
template <NormTail Tail>
__global__ void __launch_bounds__(kThreads) pixel_norm_kernel(Pixels x, const float* gamma, F16* out) {
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t pixel =
      static_cast<std::int64_t>(blockIdx.x) * (kThreads / kLanesPerPixel) + thread / kLanesPerPixel;
  // Lanes of no pixel take part in the sum.
  const bool inside = pixel < x.count;
  const F16* values = x.values + (inside ? pixel : 0) * x.channels;
  float squares = 0;
  for (int c = thread % kLanesPerPixel * 8; c < x.channels; c += kLanesPerPixel * 8) {
    float eight[8];
    load_f16(eight, values + c);
#pragma unroll
    for (int e = 0; e < 8; ++e) squares = fmaf(eight[e], eight[e], squares);
  }
  const float inverse = rsqrtf(lanes_sum<kLanesPerPixel>(squares));
  const float factor = inverse > kLargest ? kLargest : inverse;
  if (!inside) return;
  for (int c = thread % kLanesPerPixel * 8; c < x.channels; c += kLanesPerPixel * 8) {
    float eight[8];
    float gains[8];
    load_f16(eight, values + c);
    load_floats(gains, gamma + c);
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      eight[e] *= factor * gains[e];
      if (Tail == NormTail::silu) eight[e] = silu(eight[e]);
    }
    *reinterpret_cast<uint4*>(out + pixel * x.channels + c) =
        make_uint4(pack_f16(eight[0], eight[1]), pack_f16(eight[2], eight[3]), pack_f16(eight[4], eight[5]),
                   pack_f16(eight[6], eight[7]));
  }
}

/// A thread a pair of channels of a pixel. bend: 2 / (clamp ln 2).
__global__ void __launch_bounds__(kThreads)
    latent_frame_kernel(const float* z, std::int64_t stride, int pixels, float clamp, float bend, F16* out) {
  const int pixel = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  const int pair = static_cast<int>(blockIdx.y);
  if (pixel >= pixels) return;
  float two[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    two[i] = z[(2 * pair + i) * stride + pixel];
    // tanh by its exponential: the card's own approximation is good to 11 bits.
    if (clamp > 0) two[i] = clamp * (1.0f - 2.0f * reciprocal(exp2_fast(two[i] * bend) + 1.0f));
  }
  reinterpret_cast<std::uint32_t*>(out)[pixel * (kLatentChannels / 2) + pair] = pack_f16(two[0], two[1]);
}

}  // namespace

void pixel_norm(Queue& queue, const Pixels& x, const float* gamma, NormTail tail, F16* out) {
  const Grid grid{dim3(static_cast<unsigned>(ceil_div(x.count * kLanesPerPixel, kThreads))), kThreads, 0};
  if (tail == NormTail::silu) {
    queue.launch("pixel_norm", pixel_norm_kernel<NormTail::silu>, grid, x, gamma, out);
  } else {
    queue.launch("pixel_norm", pixel_norm_kernel<NormTail::none>, grid, x, gamma, out);
  }
}

void latent_frame(Queue& queue, const float* z, std::int64_t frame, std::int64_t frames, std::int64_t pixels,
                  float clamp, F16* out) {
  constexpr float kTwoLog2E = 2.8853900818f;
  queue.launch("latent_frame", latent_frame_kernel,
               {dim3(static_cast<unsigned>(ceil_div(pixels, kThreads)), kLatentChannels / 2), kThreads, 0},
               z + frame * pixels, frames * pixels, static_cast<int>(pixels), clamp,
               clamp > 0 ? kTwoLog2E / clamp : 0.0f, out);
}

}  // namespace turboclip::cuda
