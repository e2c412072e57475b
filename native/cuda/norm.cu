#include "cuda/norm.h"
#include "cuda/row_store.cuh"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPerChunk = kWarp * kPerLane;             // channels that a warp reads at a time
constexpr float kEpsilon = 1e-6f;

/// A row of at most Chunks * Warps * 256 channels, spread over neighbouring warps; as it was read.
template <int Chunks, int Warps>
struct WarpsRow {
  uint4 raw[Chunks];
  float mean = 0;
  float inverse = 1;  // 1 / the standard deviation
  int first;          // this thread's first channel

  __device__ __forceinline__ WarpsRow(const Bf16Rows& x, int row, int thread)
      : first(thread % (Warps * kWarp) * kPerLane) {
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
      raw[i] = make_uint4(0, 0, 0, 0);
      if (column(i) < x.width && row < x.rows) {
        raw[i] = *reinterpret_cast<const uint4*>(x.values + row * x.width + column(i));
      }
    }
  }
  __device__ __forceinline__ int column(int i) const { return i * Warps * kPerChunk + first; }

  /// The sum over the row's threads. All threads of the block take part.
  static __device__ __forceinline__ float row_sum(float part, float* shared, int thread) {
    part = lanes_sum<kWarp>(part);
    if constexpr (Warps > 1) {
      const int warp = thread / kWarp;
      if (thread % kWarp == 0) shared[warp] = part;
      __syncthreads();
      part = 0;
#pragma unroll
      for (int i = 0; i < Warps; ++i) part += shared[warp / Warps * Warps + i];
      __syncthreads();
    }
    return part;
  }

  /// Two passes: the mean first, so that the variance does not cancel.
  __device__ __forceinline__ void measure(int width, float* shared, int thread) {
    const float share = reciprocal(static_cast<float>(width));
    float sum = 0;
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
      float values[kPerLane];
      unpack_bf16(values, raw[i]);
#pragma unroll
      for (const float value : values) sum += value;
    }
    mean = row_sum(sum, shared, thread) * share;
    float squares = 0;
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
      if (column(i) >= width) continue;
      float values[kPerLane];
      unpack_bf16(values, raw[i]);
#pragma unroll
      for (const float value : values) squares = fmaf(value - mean, value - mean, squares);
    }
    inverse = rsqrtf(row_sum(squares, shared, thread) * share + kEpsilon);
  }
};

/// modulation.gain of nullptr: no norm.
template <int Chunks, int Warps, class Store>
__global__ void __launch_bounds__(kThreads) row_kernel(Bf16Rows x, Modulation modulation, Store store) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int row = (static_cast<int>(blockIdx.x) * kThreads + thread) / (Warps * kWarp);
  const auto width = static_cast<int>(x.width);
  WarpsRow<Chunks, Warps> line(x, row, thread);
  const bool normed = modulation.gain != nullptr;
  if (normed) line.measure(width, reinterpret_cast<float*>(shared_memory()), thread);
#pragma unroll
  for (int i = 0; i < Chunks; ++i) {
    const int column = line.column(i);
    const bool inside = column < width && row < x.rows;
    float values[kPerLane];
    unpack_bf16(values, line.raw[i]);
    if (normed && inside) {
      float gain[kPerLane];
      float shift[kPerLane];
      load_floats(gain, modulation.gain + column);
      load_floats(shift, modulation.shift + column);
#pragma unroll
      for (int e = 0; e < kPerLane; ++e) {
        values[e] = fmaf((values[e] - line.mean) * line.inverse, 1.0f + gain[e], shift[e]);
      }
    }
    store(row, column, values, inside);
  }
}

__global__ void __launch_bounds__(kThreads)
    inverse_rms_kernel(const float* squares, int groups, int rows, std::int64_t stride, float* inverse) {
  const int row = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (row >= rows) return;
  float sum = 0;
  for (int i = 0; i < groups; ++i) sum += squares[i * stride + row];
  inverse[row] = rsqrtf(sum * reciprocal(static_cast<float>(groups * kScaleGroup)) + kEpsilon);
}

template <int Chunks, int Warps, class Store>
void launch(Queue& queue, const char* name, const Bf16Rows& x, const Modulation& modulation,
            const Store& store) {
  constexpr int kRows = kThreads / (Warps * kWarp);
  queue.launch(
      name, row_kernel<Chunks, Warps, Store>,
      {dim3(static_cast<unsigned>(ceil_div(x.rows, kRows))), kThreads, kThreads / kWarp * sizeof(float)}, x,
      modulation, store);
}

/// The smallest kernel whose registers hold the row.
template <class Store>
void launch_rows(Queue& queue, const char* name, const Bf16Rows& x, const Modulation& modulation,
                 const Store& store) {
  static_assert(5 * 4 * kPerChunk == kMaxWidth);
  if (x.rows == 0) return;
  if (x.width <= 2 * kPerChunk) return launch<2, 1>(queue, name, x, modulation, store);
  if (x.width <= 6 * kPerChunk) return launch<6, 1>(queue, name, x, modulation, store);
  launch<5, 4>(queue, name, x, modulation, store);
}

}  // namespace

void layer_norm_int8(Queue& queue, const Bf16Rows& x, const Modulation& modulation, std::int8_t* y,
                     float* scales) {
  launch_rows(queue, "layer_norm_int8", x, modulation, StoreInt8Row{y, scales, x.width, scale_stride(x.rows)});
}

void layer_norm_bf16(Queue& queue, const Bf16Rows& x, const Modulation& modulation, Bf16* y) {
  launch_rows(queue, "layer_norm_bf16", x, modulation, StoreBf16Row{y, x.width});
}

void quantize_rows(Queue& queue, const Bf16Rows& x, std::int8_t* y, float* scales) {
  launch_rows(queue, "quantize_rows", x, {nullptr, nullptr},
              StoreInt8Row{y, scales, x.width, scale_stride(x.rows)});
}

void inverse_rms(Queue& queue, const float* squares, std::int64_t groups, std::int64_t rows, float* inverse) {
  if (rows == 0) return;
  queue.launch("inverse_rms", inverse_rms_kernel,
               {dim3(static_cast<unsigned>(ceil_div(rows, kThreads))), kThreads}, squares,
               static_cast<int>(groups), static_cast<int>(rows), scale_stride(rows), inverse);
}

}  // namespace turboclip::cuda
