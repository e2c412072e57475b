#include "cuda/gemm_w8a8.cuh"

namespace turboclip::cuda {
namespace {

struct StoreBf16 {
  static constexpr RowStatistic kStatistic = RowStatistic::none;
  Bf16* y;
  std::int64_t width;

  __device__ __forceinline__ float value(float sum) const { return sum; }
  __device__ __forceinline__ void store(int row, int column, const float (&v)[8], float) const {
    store_bf16(y + row * width + column, v);
  }
};

struct StoreBf16WithSquares {
  static constexpr RowStatistic kStatistic = RowStatistic::squares;
  StoreBf16 plain;
  float* squares;
  std::int64_t stride;

  __device__ __forceinline__ float value(float sum) const { return sum; }
  __device__ __forceinline__ void row_done(int row, int column, float sum) const {
    squares[column / kScaleGroup * stride + row] = sum;
  }
  __device__ __forceinline__ void store(int row, int column, const float (&v)[8], float) const {
    plain.store(row, column, v, 0.0f);
  }
};

struct StoreGeluInt8 {
  static constexpr RowStatistic kStatistic = RowStatistic::largest;
  std::int8_t* y;
  float* scales;
  std::int64_t width;
  std::int64_t stride;

  __device__ __forceinline__ float value(float sum) const { return gelu(sum); }
  __device__ __forceinline__ void row_done(int row, int column, float largest) const {
    scales[column / kScaleGroup * stride + row] = int8_scale(largest);
  }
  __device__ __forceinline__ void store(int row, int column, const float (&v)[8], float largest) const {
    store_int8(y + row * width + column, v, reciprocal(int8_scale(largest)));
  }
};

struct AddToResidual {
  static constexpr RowStatistic kStatistic = RowStatistic::none;
  Bf16* sum;
  const float* gate;
  std::int64_t width;

  __device__ __forceinline__ float value(float y) const { return y; }
  __device__ __forceinline__ void store(int row, int column, const float (&v)[8], float) const {
    float old[8];
    load_bf16(old, sum + row * width + column);
#pragma unroll
    for (int i = 0; i < 8; ++i) old[i] += gate == nullptr ? v[i] : gate[column + i] * v[i];
    store_bf16(sum + row * width + column, old);
  }
};

template <class Epilogue>
void multiply(Queue& queue, const char* name, const Int8Rows& x, const Int8Weight& weight,
              const Epilogue& epilogue) {
  if (x.rows == 0) return;
  // 64 columns would halve what the tiles read from L2, but spill registers on sm_120.
  constexpr int kWarpColumns = 32;
  using Tile = GemmTile<kWarpColumns>;
  const std::int64_t tiles = ceil_div(x.rows, Tile::kRows) * (weight.out / Tile::kColumns);
  queue.launch(name, gemm_w8a8_kernel<kWarpColumns, Epilogue>,
               {dim3(static_cast<unsigned>(tiles)), kGemmThreads, Tile::kSharedBytes}, x, weight, epilogue);
}

}  // namespace

void linear_bf16(Queue& queue, const Int8Rows& x, const Int8Weight& weight, Bf16* y, float* squares) {
  const StoreBf16 plain{y, weight.out};
  if (squares == nullptr) return multiply(queue, "linear_bf16", x, weight, plain);
  multiply(queue, "linear_bf16_squares", x, weight,
           StoreBf16WithSquares{plain, squares, scale_stride(x.rows)});
}

void linear_gelu_int8(Queue& queue, const Int8Rows& x, const Int8Weight& weight, std::int8_t* y,
                      float* y_scales) {
  multiply(queue, "linear_gelu_int8", x, weight,
           StoreGeluInt8{y, y_scales, weight.out, scale_stride(x.rows)});
}

void linear_add(Queue& queue, const Int8Rows& x, const Int8Weight& weight, Bf16* sum, const float* gate) {
  multiply(queue, "linear_add", x, weight, AddToResidual{sum, gate, weight.out});
}

}  // namespace turboclip::cuda
