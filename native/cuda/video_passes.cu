#include "cuda/numbers.cuh"
#include "cuda/video_passes.h"
#include "engine/backend.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanesPerPixel = 4;
constexpr float kShortest = 1e-12f;

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
  const float length = __fsqrt_rn(lanes_sum<kLanesPerPixel>(squares));
  const float factor = reciprocal(length > kShortest ? length : kShortest);
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

/// A thread a pair of channels of a pixel.
__global__ void __launch_bounds__(kThreads)
    latent_frame_kernel(const float* z, std::int64_t frame, std::int64_t frames, std::int64_t pixels,
                        float clamp, F16* out) {
  constexpr int kPairs = kLatentChannels / 2;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::int64_t pixel = at % pixels;
  const std::int64_t pair = at / pixels;
  if (pair >= kPairs) return;
  float two[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    two[i] = z[((2 * pair + i) * frames + frame) * pixels + pixel];
    // tanh by its exponential: the approximation of the card is good to 11 bits, as a half, but of the
    // result.
    if (clamp > 0) {
      const float e = exp2_fast(two[i] * (2.8853900818f / clamp));
      two[i] = clamp * (1.0f - 2.0f * reciprocal(e + 1.0f));
    }
  }
  reinterpret_cast<std::uint32_t*>(out)[pixel * kPairs + pair] = pack_f16(two[0], two[1]);
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
  const std::int64_t pairs = pixels * kLatentChannels / 2;
  queue.launch("latent_frame", latent_frame_kernel,
               {dim3(static_cast<unsigned>(ceil_div(pairs, kThreads))), kThreads, 0}, z, frame, frames,
               pixels, clamp, out);
}

}  // namespace turboclip::cuda
