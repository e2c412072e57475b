#include "cuda/partial_sums.cuh"
#include "cuda/row_store.cuh"
#include "cuda/umt5_passes.h"

namespace turboclip::cuda {
namespace {

constexpr int kNormThreads = 512;
constexpr int kGateThreads = 256;
constexpr float kEpsilon = 1e-6f;

/// A block has one row.
template <class Store>
__global__ void __launch_bounds__(kNormThreads)
    norm_kernel(PartialSums sums, float* x, int width, const float* weight, Store store) {
  auto* line = reinterpret_cast<float*>(shared_memory());
  float* parts = line + width;
  const auto row = static_cast<int>(blockIdx.x);
  const auto thread = static_cast<int>(threadIdx.x);
  float squares = 0;
  for (int column = thread * kPerLane; column < width; column += kNormThreads * kPerLane) {
    float* at = x + static_cast<std::int64_t>(row) * width + column;
    float v[1][8];
    load_floats(v[0], at);
    add_sums<1, 1>(v, sums, parts_of(sums, column), row, row + 1, column);
#pragma unroll
    for (const float value : v[0]) squares = fmaf(value, value, squares);
    store_floats(line + column, v[0]);
    if (sums.values != nullptr) store_floats(at, v[0]);
  }
  squares = lanes_sum<kWarp>(squares);
  if (thread % kWarp == 0) parts[thread / kWarp] = squares;
  __syncthreads();
  squares = 0;
#pragma unroll
  for (int i = 0; i < kNormThreads / kWarp; ++i) squares += parts[i];
  const float inverse = rsqrtf(squares * reciprocal(static_cast<float>(width)) + kEpsilon);
  for (int first = 0; first < width; first += kNormThreads * kPerLane) {
    const int column = first + thread * kPerLane;
    const bool inside = column < width;
    float v[8] = {};
    if (inside) {
      float gain[8];
      load_floats(v, line + column);
      load_floats(gain, weight + column);
#pragma unroll
      for (int e = 0; e < 8; ++e) v[e] *= inverse * gain[e];
    }
    store(row, column, v, inside);
  }
}

template <class Store>
__global__ void __launch_bounds__(kGateThreads) gate_kernel(PartialSums sums, int ffn, Store store) {
  const int column = static_cast<int>(blockIdx.x * kGateThreads + threadIdx.x) * kPerLane;
  const auto row = static_cast<int>(blockIdx.y);
  const bool inside = column < ffn;
  float v[1][8] = {};
  if (inside) {
    float up[1][8] = {};
    add_sums<1, 1>(v, sums, parts_of(sums, column), row, row + 1, column);
    add_sums<1, 1>(up, sums, parts_of(sums, ffn + column), row, row + 1, ffn + column);
#pragma unroll
    for (int e = 0; e < 8; ++e) v[0][e] = gelu(v[0][e]) * up[0][e];
  }
  store(row, column, v[0], inside);
}

template <class Store>
void launch_norm(Queue& queue, const PartialSums& sums, float* x, std::int64_t rows, std::int64_t width,
                 const float* weight, const Store& store) {
  queue.launch("add_and_norm", norm_kernel<Store>,
               {dim3(static_cast<unsigned>(rows)), kNormThreads,
                static_cast<std::size_t>(width + kNormThreads / kWarp) * sizeof(float)},
               sums, x, static_cast<int>(width), weight, store);
}

template <class Store>
void launch_gate(Queue& queue, const PartialSums& sums, std::int64_t ffn, const Store& store) {
  queue.launch(
      "gate", gate_kernel<Store>,
      {dim3(static_cast<unsigned>(ceil_div(ffn, kGateThreads * kPerLane)), static_cast<unsigned>(sums.rows)),
       kGateThreads},
      sums, static_cast<int>(ffn), store);
}

}  // namespace

void add_and_norm(Queue& queue, const PartialSums& sums, float* x, std::int64_t rows, std::int64_t width,
                  const float* weight, const TextRows& out) {
  if (out.int8 != nullptr) {
    launch_norm(queue, sums, x, rows, width, weight,
                StoreInt8Row{out.int8, out.scales, width, scale_stride(rows)});
  } else {
    launch_norm(queue, sums, x, rows, width, weight, StoreBf16Row{out.bf16, width});
  }
}

void add_and_norm(Queue& queue, const PartialSums& sums, float* x, std::int64_t rows, std::int64_t width,
                  const float* weight, float* y) {
  launch_norm(queue, sums, x, rows, width, weight, StoreFloatRow{y, width});
}

void gate(Queue& queue, const PartialSums& sums, std::int64_t ffn, const TextRows& out) {
  if (out.int8 != nullptr) {
    launch_gate(queue, sums, ffn, StoreInt8Row{out.int8, out.scales, ffn, scale_stride(sums.rows)});
  } else {
    launch_gate(queue, sums, ffn, StoreBf16Row{out.bf16, ffn});
  }
}

}  // namespace turboclip::cuda
