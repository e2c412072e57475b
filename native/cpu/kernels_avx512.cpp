// AVX-512: 16 rows of one register each, fed by broadcasts from memory.
#define TURBOCLIP_VECTOR_FLOATS 16
#define TURBOCLIP_TILE_ROWS 16
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
