// In place of native/cuda/*_wgmma.cu and gemm_tensor_copies.cu: the emulated card is no Hopper and copies no
// tensors.
#include "cuda/conv_wgmma.h"
#include "cuda/cross_attention_wgmma.h"
#include "cuda/gemm_tensor_copies.h"
#include "cuda/gemm_wgmma.h"
#include "cuda/sparse_attention_wgmma.h"

namespace turboclip::cuda {

template <class Epilogue>
void multiply_tensor_copies(Queue& queue, const char* name, const Int8Rows&, const Int8Weight&,
                            const Epilogue&) {
  queue.check(name, cudaErrorInvalidValue);
}
template <class Epilogue>
void multiply_wgmma(Queue& queue, const char* name, const Int8Rows&, const Int8Weight&, const Epilogue&) {
  queue.check(name, cudaErrorInvalidValue);
}
#define TURBOCLIP_FOR(Epilogue)                                                                 \
  template void multiply_tensor_copies(Queue&, const char*, const Int8Rows&, const Int8Weight&, \
                                       const Epilogue&);                                        \
  template void multiply_wgmma(Queue&, const char*, const Int8Rows&, const Int8Weight&, const Epilogue&)
TURBOCLIP_FOR(StoreBf16);
TURBOCLIP_FOR(StoreBf16WithSquares);
TURBOCLIP_FOR(StoreGeluInt8);
TURBOCLIP_FOR(AddToResidual);
#undef TURBOCLIP_FOR

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
