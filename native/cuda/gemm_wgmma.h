// The W8A8 product on Hopper's wgmma, for compute capability 9.x alone.
#pragma once

#include "cuda/gemm_epilogue.cuh"
#include "cuda/gemm_w8a8.h"

namespace turboclip::cuda {

/// As the portable kernel.
template <class Epilogue>
void multiply_wgmma(Queue& queue, const char* name, const Int8Rows& x, const Int8Weight& weight,
                    const Epilogue& epilogue);

}  // namespace turboclip::cuda
