#include "cuda/norm.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRowsPerBlock = kThreads / kWarp;  // a warp a row
constexpr int kPerLane = 8;
constexpr int kPerChunk = kWarp * kPerLane;             // channels that a warp reads at a time
constexpr int kLanesPerGroup = kScaleGroup / kPerLane;  // lanes that share a scale
constexpr float kEpsilon = 1e-6f;

struct StoreInt8 {
  std::int8_t* y;
  float* scales;
  std::int64_t width;
  std::int64_t stride;

  /// All lanes take part; those outside the row have zeros and store nothing.
  __device__ __forceinline__ void operator()(int row, int column, const float (&v)[8], bool inside) const {
    float largest = 0;
#pragma unroll
    for (int e = 0; e < 8; ++e) largest = max_or_nan(largest, fabsf(v[e]));
    const float scale = int8_scale(lanes_max<kLanesPerGroup>(largest));
    if (!inside) return;
    store_int8(y + row * width + column, v, reciprocal(scale));
    if (column % kScaleGroup == 0) scales[column / kScaleGroup * stride + row] = scale;
  }
};

struct StoreBf16 {
  Bf16* y;
  std::int64_t width;

  __device__ __forceinline__ void operator()(int row, int column, const float (&v)[8], bool inside) const {
    if (inside) store_bf16(y + row * width + column, v);
  }
};

/// A row of at most Chunks * 256 channels, spread over a warp.
template <int Chunks>
struct WarpRow {
  float values[Chunks][kPerLane];

  __device__ __forceinline__ void load(const Bf16Rows& x, int row, int lane) {
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
      const int column = i * kPerChunk + lane * kPerLane;
      if (column < x.width) {
        load_bf16(values[i], x.values + row * x.width + column);
      } else {
#pragma unroll
        for (float& value : values[i]) value = 0;
      }
    }
  }

  /// Two passes: the mean first, so that the variance does not cancel.
  __device__ __forceinline__ void normalize(const Modulation& modulation, int width, int lane) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
#pragma unroll
      for (const float value : values[i]) sum += value;
    }
    const float mean = lanes_sum<kWarp>(sum) * reciprocal(static_cast<float>(width));
    float squares = 0;
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
      const bool inside = i * kPerChunk + lane * kPerLane < width;
#pragma unroll
      for (float& value : values[i]) {
        value = inside ? value - mean : 0.0f;
        squares += value * value;
      }
    }
    const float inverse =
        rsqrtf(lanes_sum<kWarp>(squares) * reciprocal(static_cast<float>(width)) + kEpsilon);
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
      const int column = i * kPerChunk + lane * kPerLane;
      if (column >= width) continue;
      float gain[8];
      float shift[8];
      load_floats(gain, modulation.gain + column);
      load_floats(shift, modulation.shift + column);
#pragma unroll
      for (int e = 0; e < kPerLane; ++e) {
        values[i][e] = fmaf(values[i][e] * inverse, 1.0f + gain[e], shift[e]);
      }
    }
  }
};

/// modulation.gain of nullptr: no norm.
template <int Chunks, class Store>
__global__ void __launch_bounds__(kThreads) row_kernel(Bf16Rows x, Modulation modulation, Store store) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>(blockIdx.x) * kRowsPerBlock + static_cast<int>(threadIdx.x) / kWarp;
  if (row >= x.rows) return;
  const int width = static_cast<int>(x.width);
  WarpRow<Chunks> line;
  line.load(x, row, lane);
  if (modulation.gain != nullptr) line.normalize(modulation, width, lane);
#pragma unroll
  for (int i = 0; i < Chunks; ++i) {
    const int column = i * kPerChunk + lane * kPerLane;
    if (i * kPerChunk < width) store(row, column, line.values[i], column < width);
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

/// The smallest kernel whose registers hold the row.
template <class Store>
void launch_rows(Queue& queue, const char* name, const Bf16Rows& x, const Modulation& modulation,
                 const Store& store) {
  if (x.rows == 0) return;
  const Grid grid{dim3(static_cast<unsigned>(ceil_div(x.rows, kRowsPerBlock))), kThreads};
  if (x.width <= 2 * kPerChunk) return queue.launch(name, row_kernel<2, Store>, grid, x, modulation, store);
  if (x.width <= 6 * kPerChunk) return queue.launch(name, row_kernel<6, Store>, grid, x, modulation, store);
  constexpr int kMaxChunks = static_cast<int>(kMaxWidth) / kPerChunk;
  queue.launch(name, row_kernel<kMaxChunks, Store>, grid, x, modulation, store);
}

}  // namespace

void layer_norm_int8(Queue& queue, const Bf16Rows& x, const Modulation& modulation, std::int8_t* y,
                     float* scales) {
  launch_rows(queue, "layer_norm_int8", x, modulation, StoreInt8{y, scales, x.width, scale_stride(x.rows)});
}

void layer_norm_bf16(Queue& queue, const Bf16Rows& x, const Modulation& modulation, Bf16* y) {
  launch_rows(queue, "layer_norm_bf16", x, modulation, StoreBf16{y, x.width});
}

void quantize_rows(Queue& queue, const Bf16Rows& x, std::int8_t* y, float* scales) {
  launch_rows(queue, "quantize_rows", x, {nullptr, nullptr},
              StoreInt8{y, scales, x.width, scale_stride(x.rows)});
}

void inverse_rms(Queue& queue, const float* squares, std::int64_t groups, std::int64_t rows, float* inverse) {
  if (rows == 0) return;
  queue.launch("inverse_rms", inverse_rms_kernel,
               {dim3(static_cast<unsigned>(ceil_div(rows, kThreads))), kThreads}, squares,
               static_cast<int>(groups), static_cast<int>(rows), scale_stride(rows), inverse);
}

}  // namespace turboclip::cuda
