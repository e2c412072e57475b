#include "cuda/gemm_tensor_copies.h"
#include "cuda/gemm_w8a8.cuh"
#include "cuda/gemm_wgmma.h"

namespace turboclip::cuda {
namespace {

template <class Epilogue>
void multiply(Queue& queue, const char* name, const Int8Rows& x, const Int8Weight& weight,
              const Epilogue& epilogue, ChosenTiles chosen) {
  if (x.rows == 0) return;
  const GemmTiles tiles = chosen.value_or(best_gemm_tiles(queue.device()));
  if (tiles == GemmTiles::wgmma) return multiply_wgmma(queue, name, x, weight, epilogue);
  if (tiles == GemmTiles::tensor_copies && x.width >= kTensorCopiesWidth) {
    return multiply_tensor_copies(queue, name, x, weight, epilogue);
  }
  queue.launch(name, gemm_w8a8_kernel<Epilogue>,
               {TilePlace::grid(x.rows, weight.out), kGemmThreads, kGemmSharedBytes}, x, weight, epilogue);
}

}  // namespace

void linear_bf16(Queue& queue, const Int8Rows& x, const Int8Weight& weight, Bf16* y, float* squares,
                 ChosenTiles tiles) {
  const StoreBf16 plain{y};
  if (squares == nullptr) return multiply(queue, "linear_bf16", x, weight, plain, tiles);
  multiply(queue, "linear_bf16_squares", x, weight,
           StoreBf16WithSquares{plain, squares, scale_stride(x.rows)}, tiles);
}

void linear_gelu_int8(Queue& queue, const Int8Rows& x, const Int8Weight& weight, std::int8_t* y,
                      float* y_scales, ChosenTiles tiles) {
  multiply(queue, "linear_gelu_int8", x, weight, StoreGeluInt8{y, y_scales, scale_stride(x.rows)}, tiles);
}

void linear_add(Queue& queue, const Int8Rows& x, const Int8Weight& weight, Bf16* sum, const float* gate,
                ChosenTiles tiles) {
  multiply(queue, "linear_add", x, weight, AddToResidual{sum, gate}, tiles);
}

}  // namespace turboclip::cuda
