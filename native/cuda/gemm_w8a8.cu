#include "cuda/gemm_w8a8.cuh"
#include "cuda/gemm_wgmma.h"

namespace turboclip::cuda {
namespace {

using Rows128 = GemmTile<128, 64, 3, 2>;
// With two stages a block's copies must start early in the block before it; with more they may spread.
using Rows192 = GemmTile<192, 48, 2, 3>;
using Rows192Deep = GemmTile<192, 48, 3, 3>;
static_assert(Rows128::kSharedBytes <= kSharedLimit && Rows192::kSharedBytes <= kSharedLimit);
static_assert(Rows192Deep::kSharedBytes <= kDeepSharedBytes);

template <class Tile, class Epilogue>
void launch(Queue& queue, const char* name, const Int8Rows& x, const Int8Weight& weight,
            const Epilogue& epilogue) {
  queue.launch(name, gemm_w8a8_kernel<Tile, Epilogue>,
               {TilePlace::grid<Tile::kRows>(x.rows, weight.out), kGemmThreads, Tile::kSharedBytes}, x,
               weight, epilogue);
}

template <class Epilogue>
void multiply(Queue& queue, const char* name, const Int8Rows& x, const Int8Weight& weight,
              const Epilogue& epilogue, ChosenTiles chosen) {
  if (x.rows == 0) return;
  const GemmTiles tiles = chosen.value_or(best_gemm_tiles(queue.device(), x.rows));
  switch (tiles) {
    case GemmTiles::rows128:
      return launch<Rows128>(queue, name, x, weight, epilogue);
    case GemmTiles::rows192:
      return launch<Rows192>(queue, name, x, weight, epilogue);
    case GemmTiles::rows192_deep:
      return launch<Rows192Deep>(queue, name, x, weight, epilogue);
    default:
      return multiply_wgmma(queue, name, x, weight, epilogue, tiles);
  }
}

}  // namespace

void linear_bf16(Queue& queue, const Int8Rows& x, const Int8Weight& weight, Bf16* y, float* squares,
                 ChosenTiles tiles) {
  const StoreBf16 plain{y, weight.out};
  if (squares == nullptr) return multiply(queue, "linear_bf16", x, weight, plain, tiles);
  multiply(queue, "linear_bf16_squares", x, weight,
           StoreBf16WithSquares{plain, squares, scale_stride(x.rows)}, tiles);
}

void linear_gelu_int8(Queue& queue, const Int8Rows& x, const Int8Weight& weight, std::int8_t* y,
                      float* y_scales, ChosenTiles tiles) {
  multiply(queue, "linear_gelu_int8", x, weight, StoreGeluInt8{y, y_scales, weight.out, scale_stride(x.rows)},
           tiles);
}

void linear_add(Queue& queue, const Int8Rows& x, const Int8Weight& weight, Bf16* sum, const float* gate,
                ChosenTiles tiles) {
  multiply(queue, "linear_add", x, weight, AddToResidual{sum, gate, weight.out}, tiles);
}

}  // namespace turboclip::cuda
