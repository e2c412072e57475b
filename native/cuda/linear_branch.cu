// The linear branch's state: f(k)^T v on tensor cores over ranges of rows, then the ranges' sum times proj_l.
#include "cuda/self_attention.h"
#include "cuda/tiles.cuh"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTileRows = 64;
constexpr int kPartRows = 1024;  // rows of a range: few enough partial matrices, many enough blocks
constexpr int kTileBytes = kTileRows * kHeadRowBytes;
constexpr int kStageBytes = 2 * kTileBytes;  // f(k) and v
constexpr int kStages = 3;
static_assert(kStages * kStageBytes <= static_cast<int>(kSharedLimit));

/// A warp's 32 features by 64 channels of f(k)^T v.
__global__ void __launch_bounds__(kThreads)
    partial_state_kernel(HeadShape shape, Projections projections, float* parts) {
  unsigned char* shared = shared_memory();
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int part = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y);
  const int tokens = static_cast<int>(shape.tokens);
  const std::int64_t channels = shape.channels();
  const int first = part * kPartRows;
  const int rows = tokens - first < kPartRows ? tokens - first : kPartRows;
  const int tiles = (rows + kTileRows - 1) / kTileRows;
  const Bf16* features = projections.values + channels + head * kHeadWidth;
  const auto copy = [&](int tile) {
    if (tile < tiles) {
      unsigned char* stage = shared + tile % kStages * kStageBytes;
      const int row = first + tile * kTileRows;
      copy_head_rows<kTileRows, kThreads>(stage, features, row, tokens, 3 * channels, thread);
      copy_head_rows<kTileRows, kThreads>(stage + kTileBytes, features + channels, row, tokens, 3 * channels,
                                          thread);
    }
    copy_commit();
  };
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) copy(i);
  const int d0 = thread / kWarp / 2 * 32;
  const int c0 = thread / kWarp % 2 * 64;
  float sums[2][8][4] = {};
  for (int tile = 0; tile < tiles; ++tile) {
    copy_wait<kStages - 2>();
    __syncthreads();
    copy(tile + kStages - 1);
    const unsigned char* k = shared + tile % kStages * kStageBytes;
    const unsigned char* v = k + kTileBytes;
#pragma unroll
    for (int step = 0; step < kTileRows / 16; ++step) {
      std::uint32_t a[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        // Tiles (rows 0-7, 8-15) x (features 0-7, 8-15), the features first.
        load_tiles_transposed(
            a[i], head_chunk(k, 16 * step + lane / 16 * 8 + lane % 8, (d0 + 16 * i) / 8 + lane / 8 % 2));
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        std::uint32_t b[4];
        load_tiles_transposed(b, head_chunk(v, 16 * step + lane % 16, (c0 + 16 * j) / 8 + lane / 16));
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
#pragma unroll
          for (int i = 0; i < 2; ++i) multiply_add_bf16(sums[i][2 * j + half], a[i], right);
        }
      }
    }
  }
  float* out = parts + (head * static_cast<std::int64_t>(gridDim.x) + part) * kHeadWidth * kHeadWidth;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      float* at = out + (d0 + 16 * i + lane / 4) * kHeadWidth + c0 + 8 * j + lane % 4 * 2;
      *reinterpret_cast<float2*>(at) = make_float2(sums[i][j][0], sums[i][j][1]);
      *reinterpret_cast<float2*>(at + 8 * kHeadWidth) = make_float2(sums[i][j][2], sums[i][j][3]);
    }
  }
}

constexpr int kFoldFeatures = 16;  // of a block, which has a thread an output

__global__ void __launch_bounds__(kHeadWidth)
    fold_kernel(HeadShape shape, int parts, const float* feature_sums, const float* proj_l,
                LinearState state) {
  auto* sums = reinterpret_cast<float*>(shared_memory());  // [channel][kFoldFeatures]
  const int thread = static_cast<int>(threadIdx.x);
  const int d0 = static_cast<int>(blockIdx.x) * kFoldFeatures;
  const int head = static_cast<int>(blockIdx.y);
  const float* part = state.parts + (static_cast<std::int64_t>(head) * parts * kHeadWidth + d0) * kHeadWidth;
  float total[kFoldFeatures] = {};
  for (int i = 0; i < parts; ++i) {
#pragma unroll
    for (int d = 0; d < kFoldFeatures; ++d) {
      total[d] += part[static_cast<std::int64_t>(i) * kHeadWidth * kHeadWidth + d * kHeadWidth + thread];
    }
  }
#pragma unroll
  for (int d = 0; d < kFoldFeatures; ++d) sums[thread * kFoldFeatures + d] = total[d];
  __syncthreads();
  float folded[kFoldFeatures] = {};
  for (int c = 0; c < kHeadWidth; ++c) {
    const float weight = proj_l[thread * kHeadWidth + c];
#pragma unroll
    for (int d = 0; d < kFoldFeatures; ++d) folded[d] = fmaf(sums[c * kFoldFeatures + d], weight, folded[d]);
  }
  Bf16* out = state.matrix + (head * kHeadWidth + thread) * kHeadWidth + d0;
#pragma unroll
  for (int d = 0; d < kFoldFeatures; d += 8) {
    const float eight[8] = {folded[d],     folded[d + 1], folded[d + 2], folded[d + 3],
                            folded[d + 4], folded[d + 5], folded[d + 6], folded[d + 7]};
    store_bf16(out + d, eight);
  }
  // Eight lanes a feature go over the key blocks.
  const int feature = d0 + thread / 8;
  const auto blocks = static_cast<int>(shape.key_blocks());
  float sum = 0;
  for (int i = thread % 8; i < blocks; i += 8) {
    sum += feature_sums[(head * shape.key_blocks() + i) * kHeadWidth + feature];
  }
  sum = lanes_sum<8>(sum);
  if (thread % 8 == 0) state.sums[head * kHeadWidth + feature] = sum;
}

}  // namespace

std::int64_t linear_parts(std::int64_t tokens) { return ceil_div(tokens, kPartRows); }

void linear_state(Queue& queue, const HeadShape& shape, const Projections& projections, const Heads& heads,
                  const float* proj_l, const LinearState& state) {
  const std::int64_t parts = linear_parts(shape.tokens);
  const auto count = static_cast<unsigned>(shape.heads);
  queue.launch("linear_state", partial_state_kernel,
               {dim3(static_cast<unsigned>(parts), count), kThreads, kStages * kStageBytes}, shape,
               projections, state.parts);
  queue.launch(
      "fold_proj_l", fold_kernel,
      {dim3(kHeadWidth / kFoldFeatures, count), kHeadWidth, kHeadWidth * kFoldFeatures * sizeof(float)},
      shape, static_cast<int>(parts), heads.feature_sums, proj_l, state);
}

}  // namespace turboclip::cuda
