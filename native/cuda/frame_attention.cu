// Scores in float32, a softmax by row, and the product with the values, each a pass of its own: with 384
// channels a head's sums do not fit the registers, and all of it is a hundredth of the decoder's work.
#include "cuda/frame_attention.h"
#include "cuda/numbers.cuh"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = 128;
constexpr int kColumns = 64;
constexpr int kDepth = 64;
constexpr int kRowBytes = kDepth * static_cast<int>(sizeof(F16));
constexpr int kStageBytes = (kRows + kColumns) * kRowBytes;
constexpr int kStages = 3;
constexpr std::int64_t kMostRows = 4096;
constexpr std::int64_t kAlignment = 256;

std::int64_t aligned(std::int64_t bytes) { return ceil_div(bytes, kAlignment) * kAlignment; }

/// values [rows, depth], rows `stride` apart; depth a multiple of 8.
struct Matrix {
  const F16* values;
  std::int64_t rows;
  std::int64_t stride;
};

/// v^T with the values' bias, which is of a row.
struct StoreTransposedValues {
  F16* y;
  std::int64_t width;
  const float* bias;
  __device__ __forceinline__ void operator()(int row, int column, float a, float b) const {
    const float shift = bias[row];
    *reinterpret_cast<std::uint32_t*>(y + row * width + column) = pack_f16(a + shift, b + shift);
  }
};
struct StoreScores {
  float* y;
  std::int64_t width;
  float scale;
  __device__ __forceinline__ void operator()(int row, int column, float a, float b) const {
    *reinterpret_cast<float2*>(y + row * width + column) = make_float2(scale * a, scale * b);
  }
};
/// Sums of weights that are not normalised yet.
struct StoreWeighted {
  F16* y;
  std::int64_t width;
  const float* totals;
  __device__ __forceinline__ void operator()(int row, int column, float a, float b) const {
    const float share = reciprocal(totals[row]);
    *reinterpret_cast<std::uint32_t*>(y + row * width + column) = pack_f16(a * share, b * share);
  }
};

__device__ __forceinline__ int offset(int row, int chunk) {
  return row * kRowBytes + ((chunk ^ (row & 7)) << 4);
}

/// Rows first .. first + Count - 1, columns k .. k + 63; what lies outside becomes zeros.
template <int Count>
__device__ __forceinline__ void copy_rows(unsigned char* to, const Matrix& from, int first, int depth, int k,
                                          int thread) {
  const int chunk = thread % 8;
  const int column = k + chunk * 8;
#pragma unroll
  for (int i = 0; i < Count * 8 / kThreads; ++i) {
    const int row = i * (kThreads / 8) + thread / 8;
    const bool inside = first + row < from.rows && column < depth;
    copy_async(to + offset(row, chunk),
               inside ? from.values + (first + row) * from.stride + column : from.values, inside ? 16 : 0);
  }
}

/// x y^T for the first `width` rows of y (an even number); those past y's last are zeros.
template <class Store>
__global__ void __launch_bounds__(kThreads)
    matrix_product_kernel(Matrix x, Matrix y, int depth, int width, Store store) {
  unsigned char* shared = shared_memory();
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int first_row = static_cast<int>(blockIdx.x) * kRows;
  const int first_column = static_cast<int>(blockIdx.y) * kColumns;
  const int blocks = static_cast<int>(ceil_div(depth, kDepth));
  const auto copy = [&](int block) {
    if (block < blocks) {
      unsigned char* stage = shared + block % kStages * kStageBytes;
      copy_rows<kRows>(stage, x, first_row, depth, block * kDepth, thread);
      copy_rows<kColumns>(stage + kRows * kRowBytes, y, first_column, depth, block * kDepth, thread);
    }
    copy_commit();
  };
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) copy(i);
  const int row = thread / kWarp / 2 * 32;
  const int column = thread / kWarp % 2 * 32;
  float sums[2][4][4] = {};
  for (int block = 0; block < blocks; ++block) {
    copy_wait<kStages - 2>();
    __syncthreads();
    copy(block + kStages - 1);
    const unsigned char* a_rows = shared + block % kStages * kStageBytes;
    const unsigned char* b_rows = a_rows + kRows * kRowBytes;
#pragma unroll
    for (int step = 0; step < kDepth / 16; ++step) {
      std::uint32_t a[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        load_tiles(a[i], a_rows + offset(row + 16 * i + lane % 16, 2 * step + lane / 16));
      }
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        std::uint32_t b[4];
        load_tiles(b, b_rows + offset(column + 16 * j + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
#pragma unroll
          for (int i = 0; i < 2; ++i) multiply_add_f16(sums[i][2 * j + half], a[i], right);
        }
      }
    }
  }
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int c = first_column + column + 8 * j + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int r = first_row + row + 16 * i + 8 * half + lane / 4;
        if (r < x.rows && c < width) store(r, c, sums[i][j][2 * half], sums[i][j][2 * half + 1]);
      }
    }
  }
}

/// weights = exp(scores - the row's largest), zeros past its end; totals: their sums by row. A block a row.
__global__ void __launch_bounds__(kThreads)
    softmax_kernel(const float* scores, int count, int width, F16* weights, float* totals) {
  constexpr float kLog2E = 1.4426950409f;
  constexpr int kWarps = kThreads / kWarp;
  auto* parts = reinterpret_cast<float*>(shared_memory());  // [2][warps]
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t row = blockIdx.x;
  const float* from = scores + row * width;
  float largest = -3.4e38f;
  for (int i = thread; i < count; i += kThreads) largest = max_or_nan(largest, from[i]);
  largest = lanes_max<kWarp>(largest);
  if (thread % kWarp == 0) parts[thread / kWarp] = largest;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kWarps; ++i) largest = max_or_nan(largest, parts[i]);
  float total = 0;
  for (int i = 2 * thread; i < width; i += 2 * kThreads) {
    float two[2] = {0, 0};
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      if (i + e < count) two[e] = exp2_fast((from[i + e] - largest) * kLog2E);
    }
    const std::uint32_t packed = pack_f16(two[0], two[1]);
    *reinterpret_cast<std::uint32_t*>(weights + row * width + i) = packed;
    // The sum of what is multiplied, so that the weights' rounding does not change their total.
    const float2 rounded = unpack_f16(packed);
    total += rounded.x + rounded.y;
  }
  total = lanes_sum<kWarp>(total);
  if (thread % kWarp == 0) parts[kWarps + thread / kWarp] = total;
  __syncthreads();
  if (thread != 0) return;
  total = 0;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) total += parts[kWarps + i];
  totals[row] = total;
}

template <class Store>
void multiply(Queue& queue, const char* name, const Matrix& x, const Matrix& y, std::int64_t depth,
              std::int64_t width, const Store& store) {
  queue.launch(
      name, matrix_product_kernel<Store>,
      {dim3(static_cast<unsigned>(ceil_div(x.rows, kRows)), static_cast<unsigned>(ceil_div(width, kColumns))),
       kThreads, kStages * kStageBytes},
      x, y, static_cast<int>(depth), static_cast<int>(width), store);
}

}  // namespace

AttentionScratch::AttentionScratch(std::int64_t pixels, std::int64_t stored)
    : rows(ceil_div(ceil_div(pixels, ceil_div(pixels, kMostRows)), kRows) * kRows),
      width(ceil_div(pixels, 8) * 8),
      channels(stored) {
  if (rows > pixels) rows = pixels;
}

std::int64_t AttentionScratch::bytes() const {
  return aligned(channels * width * 2) + aligned(rows * width * 4) + aligned(rows * width * 2) +
         aligned(rows * 4);
}

void frame_attention(Queue& queue, const FrameAttention& attention, unsigned char* scratch, F16* out) {
  const std::int64_t pixels = attention.pixels;
  const std::int64_t channels = attention.channels;
  const AttentionScratch plan(pixels, channels);
  auto* values = reinterpret_cast<F16*>(scratch);
  auto* scores = reinterpret_cast<float*>(scratch + aligned(channels * plan.width * 2));
  auto* weights =
      reinterpret_cast<F16*>(reinterpret_cast<unsigned char*>(scores) + aligned(plan.rows * plan.width * 4));
  auto* totals = reinterpret_cast<float*>(reinterpret_cast<unsigned char*>(weights) +
                                          aligned(plan.rows * plan.width * 2));
  multiply(queue, "frame_attention values", {attention.value_weight, channels, channels},
           {attention.x, pixels, channels}, channels, plan.width,
           StoreTransposedValues{values, plan.width, attention.value_bias});
  for (std::int64_t first = 0; first < pixels; first += plan.rows) {
    const std::int64_t rows = first + plan.rows < pixels ? plan.rows : pixels - first;
    multiply(queue, "frame_attention scores", {attention.qk + first * 2 * channels, rows, 2 * channels},
             {attention.qk + channels, pixels, 2 * channels}, channels, plan.width,
             StoreScores{scores, plan.width, attention.scale});
    queue.launch("frame_attention softmax", softmax_kernel,
                 {dim3(static_cast<unsigned>(rows)), kThreads, 2 * kThreads / kWarp * sizeof(float)}, scores,
                 static_cast<int>(pixels), static_cast<int>(plan.width), weights, totals);
    multiply(queue, "frame_attention sums", {weights, rows, plan.width}, {values, channels, plan.width},
             plan.width, channels, StoreWeighted{out + first * channels, channels, totals});
  }
}

}  // namespace turboclip::cuda
