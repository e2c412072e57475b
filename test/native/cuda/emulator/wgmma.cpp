// In place of native/cuda/gemm_wgmma.cu: the emulated card is no Hopper.
#include "cuda/gemm_wgmma.h"

namespace turboclip::cuda {

template <class Epilogue>
void multiply_wgmma(Queue& queue, const char* name, const Int8Rows&, const Int8Weight&, const Epilogue&,
                    GemmTiles) {
  queue.check(name, cudaErrorInvalidValue);
}
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const StoreBf16&,
                             GemmTiles);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&,
                             const StoreBf16WithSquares&, GemmTiles);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const StoreGeluInt8&,
                             GemmTiles);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const AddToResidual&,
                             GemmTiles);

}  // namespace turboclip::cuda
