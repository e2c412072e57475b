#include "cuda/numbers.cuh"
#include "cuda/video_passes.h"
#include "engine/backend.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanesPerPixel = 4;
constexpr int kPairThreads = kMostPairChannels / 8;
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

__device__ __forceinline__ uint4 pack_eight(const float (&values)[8]) {
  return make_uint4(pack_f16(values[0], values[1]), pack_f16(values[2], values[3]),
                    pack_f16(values[4], values[5]), pack_f16(values[6], values[7]));
}

__device__ __forceinline__ float silu(float x) {
  return x * reciprocal(1.0f + exp2_fast(x * -1.4426950409f));
}

/// 1 / |x| of a pixel, whose squares have this sum.
__device__ __forceinline__ float inverse_length(float squares) {
  const float inverse = rsqrtf(squares);
  return inverse > kLargest ? kLargest : inverse;
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
  const float factor = inverse_length(lanes_sum<kLanesPerPixel>(squares));
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
    *reinterpret_cast<uint4*>(out + pixel * x.channels + c) = pack_eight(eight);
  }
}

/// A thread 8 channels of a pixel of both frames, so that a block moves whole stretches of its ten streams:
/// four lanes a pixel, 64 bytes of each at a time, moved a fifth as much.
__global__ void __launch_bounds__(kPairThreads) pair_norm_kernel(PairNorm x, const float* gamma, int pixels) {
  auto* const squares = reinterpret_cast<float2*>(shared_memory());  // by thread
  const int thread = static_cast<int>(threadIdx.x);
  const int chunks = x.channels / 8;
  const int first = thread / chunks * chunks;  // of the pixel's threads
  const std::int64_t pixel = static_cast<std::int64_t>(blockIdx.x) * pixels + thread / chunks;
  const bool inside = thread < pixels * chunks && pixel < x.count;
  const std::int64_t at = inside ? pixel * x.channels + (thread - first) * 8 : 0;
  float frames[4][8] = {};
  float gains[8];
  if (inside && !x.first) load_f16(frames[0], x.before[0] + at);
  if (inside) load_f16(frames[1], x.before[1] + at);
#pragma unroll
  for (int frame = 0; frame < 2; ++frame) {
    if (inside) load_f16(frames[2 + frame], x.frames[frame] + at);
  }
  float2 mine = make_float2(0, 0);
#pragma unroll
  for (int e = 0; e < 8; ++e) {
    mine.x = fmaf(frames[2][e], frames[2][e], mine.x);
    mine.y = fmaf(frames[3][e], frames[3][e], mine.y);
  }
  squares[thread] = mine;
  __syncthreads();
  if (!inside) return;
  load_floats(gains, gamma + (thread - first) * 8);
  float2 all = make_float2(0, 0);
  for (int i = 0; i < chunks; ++i) {
    all.x += squares[first + i].x;
    all.y += squares[first + i].y;
  }
  const float factors[2] = {inverse_length(all.x), inverse_length(all.y)};
#pragma unroll
  for (int frame = 0; frame < 2; ++frame) {
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      frames[2 + frame][e] = silu(frames[2 + frame][e] * (factors[frame] * gains[e]));
    }
    *reinterpret_cast<uint4*>(x.before[frame] + at) = pack_eight(frames[2 + frame]);
  }
  float planes[kConvPlanes][8];
#pragma unroll
  for (int e = 0; e < 8; ++e) {
    planes[0][e] = frames[1][e] + frames[2][e];
    planes[1][e] = frames[2][e] - frames[1][e];
    planes[2][e] = frames[0][e] - frames[2][e];
    planes[3][e] = frames[3][e] - frames[1][e];
  }
#pragma unroll
  for (int plane = 0; plane < kConvPlanes; ++plane) {
    *reinterpret_cast<uint4*>(x.planes[plane] + at) = pack_eight(planes[plane]);
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

void pair_norm(Queue& queue, const PairNorm& x, const float* gamma) {
  const int pixels = kPairThreads / (x.channels / 8);
  queue.launch(
      "pair_norm", pair_norm_kernel,
      {dim3(static_cast<unsigned>(ceil_div(x.count, pixels))), kPairThreads, kPairThreads * sizeof(float2)},
      x, gamma, pixels);
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
