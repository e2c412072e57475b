// AVX-512: 12 rows of two panels are 24 registers of sums; a panel row each and one to broadcast into
// make 27. A single panel would do one load for each multiply-add and be bound by the loads.
#define TURBOCLIP_VECTOR_FLOATS 16
#define TURBOCLIP_TILE_ROWS 12
#define TURBOCLIP_TILE_PANELS 2
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
