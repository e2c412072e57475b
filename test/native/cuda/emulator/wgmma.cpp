// In place of native/cuda/*_wgmma.cu: the emulated card is no Hopper.
#include "cuda/conv_wgmma.h"
#include "cuda/cross_attention_wgmma.h"
#include "cuda/gemm_wgmma.h"
#include "cuda/sparse_attention_wgmma.h"

namespace turboclip::cuda {

template <class Epilogue>
void multiply_wgmma(Queue& queue, const char* name, const Int8Rows&, const Int8Weight&, const Epilogue&) {
  queue.check(name, cudaErrorInvalidValue);
}
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const StoreBf16&);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&,
                             const StoreBf16WithSquares&);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const StoreGeluInt8&);
template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const AddToResidual&);

void sparse_attention_wgmma(Queue& queue, const HeadShape&, const Projections&, const Heads&, const Sparse&,
                            std::int8_t*, float*) {
  queue.check("sparse_attention", cudaErrorInvalidValue);
}

void cross_attention_wgmma(Queue& queue, const CrossQueries&, const TextKeys&, std::int8_t*, float*) {
  queue.check("cross_attention", cudaErrorInvalidValue);
}
void convolve_wgmma(Queue& queue, const ConvInput&, const ConvWeight&, const ConvOutput&, ConvTiles) {
  queue.check("convolve", cudaErrorInvalidValue);
}
void convolve_pair_wgmma(Queue& queue, const ConvPlanes&, const ConvWeight&, const ConvOutput&,
                         const ConvOutput&, PairTiles) {
  queue.check("convolve_pair", cudaErrorInvalidValue);
}

}  // namespace turboclip::cuda
