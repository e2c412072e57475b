// The W8A8 product by mma.sync on operands that come by tensor copies: compute capability 9.0 and up.
#pragma once

#include "cuda/gemm_epilogue.cuh"
#include "cuda/gemm_w8a8.h"

namespace turboclip::cuda {

/// Inputs that it takes at least.
inline constexpr std::int64_t kTensorCopiesWidth = 2 * kScaleGroup;

/// As the portable kernel, to the bit.
template <class Epilogue>
void multiply_tensor_copies(Queue& queue, const char* name, const Int8Rows& x, const Int8Weight& weight,
                            const Epilogue& epilogue);

}  // namespace turboclip::cuda
