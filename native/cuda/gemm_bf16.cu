// Eight warps compute 128 rows by 64 columns, each 32 by 32; K goes in blocks of 64, three in flight.
#include "cuda/gemm_bf16.h"
#include "cuda/numbers.cuh"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = 128;
constexpr int kColumns = 64;
constexpr int kDepth = 64;
constexpr int kRowBytes = kDepth * static_cast<int>(sizeof(Bf16));
constexpr int kStageBytes = (kRows + kColumns) * kRowBytes;
constexpr int kStages = 3;
static_assert(blocks_by_shared_memory(kStages * kStageBytes) == 1);

struct StoreBf16 {
  Bf16* y;
  std::int64_t width;
  __device__ __forceinline__ void operator()(int row, int column, float a, float b) const {
    *reinterpret_cast<std::uint32_t*>(y + row * width + column) = pack_bf16(a, b);
  }
};
struct StoreGelu {
  StoreBf16 plain;
  __device__ __forceinline__ void operator()(int row, int column, float a, float b) const {
    plain(row, column, gelu(a), gelu(b));
  }
};
struct StoreFloat {
  float* y;
  std::int64_t width;
  __device__ __forceinline__ void operator()(int row, int column, float a, float b) const {
    *reinterpret_cast<float2*>(y + row * width + column) = make_float2(a, b);
  }
};

__device__ __forceinline__ int offset(int row, int chunk) {
  return row * kRowBytes + ((chunk ^ (row & 7)) << 4);
}

/// Rows first .. first + Count - 1, columns k .. k + 63; what lies outside [end, width] becomes zeros.
template <int Count>
__device__ __forceinline__ void copy_rows(unsigned char* to, const Bf16* from, int first, std::int64_t end,
                                          std::int64_t width, int k, int thread) {
  const int chunk = thread % 8;
  const int column = k + chunk * 8;
#pragma unroll
  for (int i = 0; i < Count * 8 / kThreads; ++i) {
    const int row = i * (kThreads / 8) + thread / 8;
    const bool inside = first + row < end && column < width;
    copy_async(to + offset(row, chunk), inside ? from + (first + row) * width + column : from,
               inside ? 16 : 0);
  }
}

template <class Store>
__global__ void __launch_bounds__(kThreads) gemm_bf16_kernel(Bf16Rows x, Bf16Weight weight, Store store) {
  unsigned char* shared = shared_memory();
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int first_row = static_cast<int>(blockIdx.x) * kRows;
  const int first_column = static_cast<int>(blockIdx.y) * kColumns;
  const auto blocks = static_cast<int>(ceil_div(weight.in, kDepth));
  const auto copy = [&](int block) {
    if (block < blocks) {
      unsigned char* stage = shared + block % kStages * kStageBytes;
      copy_rows<kRows>(stage, x.values, first_row, x.rows, x.width, block * kDepth, thread);
      copy_rows<kColumns>(stage + kRows * kRowBytes, weight.values, first_column, weight.out, weight.in,
                          block * kDepth, thread);
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
          for (int i = 0; i < 2; ++i) multiply_add_bf16(sums[i][2 * j + half], a[i], right);
        }
      }
    }
  }
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int c = first_column + column + 8 * j + lane % 4 * 2;
    const float bias[2] = {weight.bias[c], weight.bias[c + 1]};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int r = first_row + row + 16 * i + 8 * half + lane / 4;
        const float* v = sums[i][j] + 2 * half;
        if (r < x.rows) store(r, c, v[0] + bias[0], v[1] + bias[1]);
      }
    }
  }
}

template <class Store>
void multiply(Queue& queue, const char* name, const Bf16Rows& x, const Bf16Weight& weight,
              const Store& store) {
  if (x.rows == 0) return;
  queue.launch(
      name, gemm_bf16_kernel<Store>,
      {dim3(static_cast<unsigned>(ceil_div(x.rows, kRows)), static_cast<unsigned>(weight.out / kColumns)),
       kThreads, kStages * kStageBytes},
      x, weight, store);
}

}  // namespace

void linear(Queue& queue, const Bf16Rows& x, const Bf16Weight& weight, Bf16* y) {
  multiply(queue, "linear", x, weight, StoreBf16{y, weight.out});
}

void linear_gelu(Queue& queue, const Bf16Rows& x, const Bf16Weight& weight, Bf16* y) {
  multiply(queue, "linear_gelu", x, weight, StoreGelu{{y, weight.out}});
}

void linear_float(Queue& queue, const Bf16Rows& x, const Bf16Weight& weight, float* y) {
  multiply(queue, "linear_float", x, weight, StoreFloat{y, weight.out});
}

}  // namespace turboclip::cuda
