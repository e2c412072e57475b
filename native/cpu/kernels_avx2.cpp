// AVX2 with FMA: 6 rows of 2 registers, a panel row of 2, and one to broadcast into.
#define TURBOCLIP_VECTOR_FLOATS 8
#define TURBOCLIP_TILE_ROWS 6
#define TURBOCLIP_TILE_PANELS 1
#include "cpu/kernels_impl.h"

namespace turboclip::cpu {

const Kernels* avx2_kernels() {
#ifdef __AVX2__
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return nullptr;
  static const Kernels kernels = make_kernels("avx2", *avx2_int8_kernel());
  return &kernels;
#else
  return nullptr;
#endif
}

}  // namespace turboclip::cpu
