// AVX-512: 12 rows of two panels, a register each, so that a value broadcast from memory serves two products:
// one would keep the load units busier than the multipliers.
#define TURBOCLIP_VECTOR_FLOATS 16
#define TURBOCLIP_TILE_ROWS 12
#define TURBOCLIP_TILE_PANELS 2
#include "cpu/kernels_impl.h"

namespace turboclip::cpu {

const Kernels* avx512_kernels() {
#ifdef __AVX512F__
  if (!__builtin_cpu_supports("avx512f")) return nullptr;
  const Int8Kernel* vnni = vnni_int8_kernel();
  // Every processor with AVX-512 has AVX2.
  static const Kernels kernels = make_kernels("avx512", vnni != nullptr ? *vnni : *avx2_int8_kernel());
  return &kernels;
#else
  return nullptr;
#endif
}

}  // namespace turboclip::cpu
