#include "cuda/latent.h"
#include "cuda/numbers.cuh"
#include "engine/sampler/gaussian.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;

/// Where cell i of a channel's plane lies in a list of tokens.
struct Cell {
  int token;
  int inside;  // row * 2 + column within its patch
};
__device__ __forceinline__ Cell locate(int i, const LatentShape& shape) {
  const auto height = static_cast<int>(shape.height);
  const auto width = static_cast<int>(shape.width);
  const int column = i % width;
  const int row = i / width % height;
  const int frame = i / width / height;
  return {(frame * (height / 2) + row / 2) * (width / 2) + column / 2, row % 2 * 2 + column % 2};
}

/// A thread a patch of one channel.
template <class Value>
__global__ void __launch_bounds__(kThreads)
    patchify_kernel(LatentShape shape, const Value* x, const float* image, int in_channels, Bf16* tokens) {
  const int token = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  const int channel = static_cast<int>(blockIdx.y);
  if (token >= shape.tokens()) return;
  const auto width = static_cast<int>(shape.width);
  const int across = token % (width / 2);
  const int line = token / (width / 2);  // of patches, over all frames: two lines of cells each
  const std::int64_t at = static_cast<std::int64_t>(line) * 2 * width + across * 2;
  float cells[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::int64_t cell = at + i / 2 * width + i % 2;
    cells[i] = channel < kLatentChannels ? static_cast<float>(x[channel * shape.plane() + cell])
                                         : image[(channel - kLatentChannels) * shape.plane() + cell];
  }
  *reinterpret_cast<uint2*>(tokens +
                            (static_cast<std::int64_t>(token) * in_channels + channel) * kPatchValues) =
      make_uint2(pack_bf16(cells[0], cells[1]), pack_bf16(cells[2], cells[3]));
}

__device__ __forceinline__ float velocity(const LatentShape& shape, const float* tokens, int channel, int i) {
  const Cell cell = locate(i, shape);
  return tokens[(static_cast<std::int64_t>(cell.token) * kPatchValues + cell.inside) * kLatentChannels +
                channel];
}

__global__ void __launch_bounds__(kThreads)
    unpatchify_kernel(LatentShape shape, const float* tokens, float* v) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  const int channel = static_cast<int>(blockIdx.y);
  if (i < shape.plane()) v[channel * shape.plane() + i] = velocity(shape, tokens, channel, i);
}

/// A thread a group of four elements, which is what a draw of noise gives; a plane is a multiple of four.
__global__ void __launch_bounds__(kThreads)
    start_kernel(LatentShape shape, const SamplerStep* step, double* x) {
  const int group = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (group >= kLatentChannels * shape.plane() / 4) return;
  const std::array<float, 4> noise = gaussian_group(step->seed, 0, static_cast<std::uint32_t>(group));
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    x[static_cast<std::int64_t>(group) * 4 + i] = static_cast<double>(noise[i]) * step->time;
  }
}

__global__ void __launch_bounds__(kThreads)
    advance_kernel(LatentShape shape, const SamplerStep* step, const float* tokens, double* x) {
  const int group = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (group >= kLatentChannels * shape.plane() / 4) return;
  const double time = step->time;
  const double next = step->next;
  std::array<float, 4> fresh{};
  if (step->sde != 0 && next != 0) {
    fresh = gaussian_group(step->seed, step->draw, static_cast<std::uint32_t>(group));
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::int64_t element = static_cast<std::int64_t>(group) * 4 + i;
    const auto channel = static_cast<int>(element / shape.plane());
    const auto v = static_cast<double>(
        velocity(shape, tokens, channel, static_cast<int>(element - channel * shape.plane())));
    if (step->sde != 0) {
      const double clean = x[element] - time * v;
      x[element] = (1 - next) * clean + next * static_cast<double>(fresh[i]);
    } else {
      x[element] -= (time - next) * v;
    }
  }
}

template <class Value>
void launch_patchify(Queue& queue, const LatentShape& shape, const Value* x, const float* image,
                     std::int64_t in_channels, Bf16* tokens) {
  queue.launch(
      "patchify", patchify_kernel<Value>,
      {dim3(static_cast<unsigned>(ceil_div(shape.tokens(), kThreads)), static_cast<unsigned>(in_channels)),
       kThreads},
      shape, x, image, static_cast<int>(in_channels), tokens);
}

Grid group_grid(const LatentShape& shape) {
  return {dim3(static_cast<unsigned>(ceil_div(kLatentChannels * shape.plane() / 4, kThreads))), kThreads};
}

}  // namespace

void patchify(Queue& queue, const LatentShape& shape, const float* x, const float* image,
              std::int64_t in_channels, Bf16* tokens) {
  launch_patchify(queue, shape, x, image, in_channels, tokens);
}

void patchify(Queue& queue, const LatentShape& shape, const double* x, const float* image,
              std::int64_t in_channels, Bf16* tokens) {
  launch_patchify(queue, shape, x, image, in_channels, tokens);
}

void unpatchify(Queue& queue, const LatentShape& shape, const float* tokens, float* v) {
  queue.launch("unpatchify", unpatchify_kernel,
               {dim3(static_cast<unsigned>(ceil_div(shape.plane(), kThreads)), kLatentChannels), kThreads},
               shape, tokens, v);
}

void start_sampling(Queue& queue, const LatentShape& shape, const SamplerStep* step, double* x) {
  queue.launch("start_sampling", start_kernel, group_grid(shape), shape, step, x);
}

void advance_sampling(Queue& queue, const LatentShape& shape, const SamplerStep* step, const float* tokens,
                      double* x) {
  queue.launch("advance_sampling", advance_kernel, group_grid(shape), shape, step, tokens, x);
}

}  // namespace turboclip::cuda
