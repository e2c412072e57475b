// Any x86-64 or other processor; 2 rows of 4 SSE registers and room for a panel row.
#define TURBOCLIP_VECTOR_FLOATS 4
#define TURBOCLIP_TILE_ROWS 2
#define TURBOCLIP_TILE_PANELS 1
#include "cpu/kernels_impl.h"

namespace turboclip::cpu {

const Kernels& portable_kernels() {
  static const Kernels kernels = make_kernels("portable", portable_int8_kernel());
  return kernels;
}

const Kernels& best_kernels() {
  if (const Kernels* kernels = avx512_kernels()) return *kernels;
  if (const Kernels* kernels = avx2_kernels()) return *kernels;
  return portable_kernels();
}

}  // namespace turboclip::cpu
