// AVX-512: 16 rows of one register each, fed by broadcasts from memory.
#define TURBOCLIP_VECTOR_FLOATS 16
#define TURBOCLIP_TILE_ROWS 16
#include "cpu/kernels_impl.h"

namespace turboclip::cpu {

const Kernels* avx512_kernels() {
#ifdef __AVX512F__
  static constexpr Kernels kernels = make_kernels("avx512");
  return __builtin_cpu_supports("avx512f") ? &kernels : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace turboclip::cpu
