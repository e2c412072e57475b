#include "cuda/norm.h"
#include "cuda/numbers.cuh"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kPerLane = 8;
constexpr int kPerChunk = kWarp * kPerLane;                  // channels that a warp reads at a time
constexpr int kLanesPerGroup = kScaleGroup / kPerLane;       // lanes that share a scale
constexpr int kLine = 128 / static_cast<int>(sizeof(Bf16));  // values that a prefetch brings
constexpr float kEpsilon = 1e-6f;

/// A thread's channels of a row: eight in each chunk of the row's warps.
template <int Chunks, int Warps>
struct Columns {
  int first;
  int width;
  bool row_inside;

  __device__ __forceinline__ int at(int chunk) const { return chunk * Warps * kPerChunk + first; }
  __device__ __forceinline__ bool inside(int chunk) const { return row_inside && at(chunk) < width; }
};

/// Maxima over groups of 16 lanes, of one to eight chunks at a time: at each step lanes give away half of
/// what they hold, so that all chunks take about as many shuffles as one. A lane is left with one chunk's.
template <int Count, int Bit>
__device__ __forceinline__ float shared_maximum(float (&values)[Count], int lane) {
  if constexpr (Bit == 0) {
    return values[0];
  } else {
    constexpr int kLeft = (Count + 1) / 2;
    float left[kLeft];
#pragma unroll
    for (int i = 0; i < kLeft; ++i) {
      const bool pair = 2 * i + 1 < Count;
      const float& even = values[2 * i];
      const float& odd = values[pair ? 2 * i + 1 : 2 * i];
      const bool upper = (lane & Bit) != 0;
      left[i] = max_or_nan(upper ? odd : even, __shfl_xor_sync(kAllLanes, upper ? even : odd, Bit));
    }
    return shared_maximum<kLeft, Bit / 2>(left, lane);
  }
}
/// The lane of 16 that is left with a chunk's maximum: it took the upper of a pair where the chunk's bits
/// say.
__device__ __forceinline__ constexpr int lane_of_chunk(int chunk) {
  return (chunk & 1) * 8 + (chunk >> 1 & 1) * 4 + (chunk >> 2 & 1) * 2;
}

struct StoreInt8 {
  static constexpr bool kMayBeWhole = true;
  std::int8_t* y;
  float* scales;
  std::int64_t stride;

  /// All lanes take part; those outside the row have zeros and store nothing.
  template <int Chunks, int Warps>
  __device__ __forceinline__ void operator()(int row, const Columns<Chunks, Warps>& columns,
                                             const float (&v)[Chunks][kPerLane], int lane) const {
    static_assert(Chunks <= 8);
    float largest[Chunks];
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
      largest[i] = 0;
#pragma unroll
      for (int e = 0; e < kPerLane; ++e) largest[i] = max_or_nan(largest[i], fabsf(v[i][e]));
    }
    const float scale = int8_scale(shared_maximum<Chunks, kLanesPerGroup / 2>(largest, lane));
    const float factor = reciprocal(scale);
    const int first_lane = lane / kLanesPerGroup * kLanesPerGroup;
    const int in_group = lane % kLanesPerGroup;
    const int chunk = (in_group >> 3 & 1) + (in_group >> 2 & 1) * 2 + (in_group >> 1 & 1) * 4;
    if (in_group % 2 == 0 && chunk < Chunks && columns.inside(chunk)) {
      scales[columns.at(chunk) / kScaleGroup * stride + row] = scale;
    }
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
      const float mine = __shfl_sync(kAllLanes, factor, first_lane + lane_of_chunk(i));
      if (columns.inside(i)) {
        store_int8(y + row * static_cast<std::int64_t>(columns.width) + columns.at(i), v[i], mine);
      }
    }
  }
};

struct StoreBf16 {
  static constexpr bool kMayBeWhole = false;  // once a step: not worth a kernel
  Bf16* y;

  template <int Chunks, int Warps>
  __device__ __forceinline__ void operator()(int row, const Columns<Chunks, Warps>& columns,
                                             const float (&v)[Chunks][kPerLane], int) const {
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
      if (columns.inside(i)) {
        store_bf16(y + row * static_cast<std::int64_t>(columns.width) + columns.at(i), v[i]);
      }
    }
  }
};

/// The sum over a row's threads. All threads of the block take part.
template <int Warps>
__device__ __forceinline__ float row_sum(float part, float* shared, int thread) {
  part = lanes_sum<kWarp>(part);
  if constexpr (Warps > 1) {
    const int warp = thread / kWarp;
    if (thread % kWarp == 0) shared[warp] = part;
    __syncthreads();
    part = 0;
#pragma unroll
    for (int i = 0; i < Warps; ++i) part += shared[warp / Warps * Warps + i];
  }
  return part;
}

/// Blocks that a multiprocessor's registers hold.
__host__ __device__ constexpr int blocks_at_once(int chunks) { return chunks > 5 ? 5 : 6; }

/// A row of Chunks * Warps * 256 channels (or of fewer, if not Whole) in the registers of neighbouring warps.
/// modulation.gain of nullptr: no norm.
template <int Chunks, int Warps, bool Whole, class Store>
__global__ void __launch_bounds__(kThreads, blocks_at_once(Chunks))
    row_kernel(Bf16Rows x, Modulation modulation, Store store, int ahead) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int row = (static_cast<int>(blockIdx.x) * kThreads + thread) / (Warps * kWarp);
  const Columns<Chunks, Warps> columns{thread % (Warps * kWarp) * kPerLane,
                                       Whole ? Chunks * Warps * kPerChunk : static_cast<int>(x.width),
                                       row < x.rows};
  const Bf16* line = x.values + row * static_cast<std::int64_t>(columns.width);
  // The row that takes this one's place on the multiprocessor: its loads will not wait for device memory.
  const int in_row = thread % (Warps * kWarp) * kLine;
  if (row + ahead < x.rows && in_row < columns.width) {
    prefetch(line + ahead * static_cast<std::int64_t>(columns.width) + in_row);
  }
  uint4 raw[Chunks];
#pragma unroll
  for (int i = 0; i < Chunks; ++i) {
    raw[i] = make_uint4(0, 0, 0, 0);
    if (columns.inside(i)) raw[i] = *reinterpret_cast<const uint4*>(line + columns.at(i));
  }
  float v[Chunks][kPerLane];
#pragma unroll
  for (int i = 0; i < Chunks; ++i) unpack_bf16(v[i], raw[i]);
  if (modulation.gain != nullptr) {
    // Two passes: the mean first, so that the variance does not cancel. A sum of its own for each, so that
    // one barrier is enough.
    auto* shared = reinterpret_cast<float*>(shared_memory());
    const float share = reciprocal(static_cast<float>(columns.width));
    float sum = 0;
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
#pragma unroll
      for (const float value : v[i]) sum += value;
    }
    const float mean = row_sum<Warps>(sum, shared, thread) * share;
    float squares = 0;
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
      if (!Whole && columns.at(i) >= columns.width) continue;
#pragma unroll
      for (float& value : v[i]) {
        value -= mean;
        squares = fmaf(value, value, squares);
      }
    }
    const float inverse =
        rsqrtf(row_sum<Warps>(squares, shared + kThreads / kWarp, thread) * share + kEpsilon);
#pragma unroll
    for (int i = 0; i < Chunks; ++i) {
      if (!Whole && columns.at(i) >= columns.width) continue;
      float gain[kPerLane];
      float shift[kPerLane];
      load_floats(gain, modulation.gain + columns.at(i));
      load_floats(shift, modulation.shift + columns.at(i));
#pragma unroll
      for (int e = 0; e < kPerLane; ++e) {
        v[i][e] = fmaf(v[i][e] * inverse, 1.0f + gain[e], shift[e]);
      }
    }
  }
  store(row, columns, v, thread % kWarp);
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
  const bool whole = Store::kMayBeWhole && x.width == Chunks * Warps * kPerChunk;
  queue.launch(
      name,
      whole ? row_kernel<Chunks, Warps, Store::kMayBeWhole, Store> : row_kernel<Chunks, Warps, false, Store>,
      {dim3(static_cast<unsigned>(ceil_div(x.rows, kRows))), kThreads, 2 * kThreads / kWarp * sizeof(float)},
      x, modulation, store, queue.device().multiprocessors * blocks_at_once(Chunks) * kRows);
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
  launch_rows(queue, "layer_norm_int8", x, modulation, StoreInt8{y, scales, scale_stride(x.rows)});
}

void layer_norm_bf16(Queue& queue, const Bf16Rows& x, const Modulation& modulation, Bf16* y) {
  launch_rows(queue, "layer_norm_bf16", x, modulation, StoreBf16{y});
}

void quantize_rows(Queue& queue, const Bf16Rows& x, std::int8_t* y, float* scales) {
  launch_rows(queue, "quantize_rows", x, {nullptr, nullptr}, StoreInt8{y, scales, scale_stride(x.rows)});
}

void inverse_rms(Queue& queue, const float* squares, std::int64_t groups, std::int64_t rows, float* inverse) {
  if (rows == 0) return;
  queue.launch("inverse_rms", inverse_rms_kernel,
               {dim3(static_cast<unsigned>(ceil_div(rows, kThreads))), kThreads}, squares,
               static_cast<int>(groups), static_cast<int>(rows), scale_stride(rows), inverse);
}

}  // namespace turboclip::cuda
