// What the convolutions on Hopper have beside hopper.cuh: copies of boxes out of frames, and products of
// halves with float32 sums whose operands both lie in shared memory.
#pragma once

#include "cuda/hopper.cuh"

namespace turboclip::cuda::hopper {

/// Starts the copy of the map's box at (channel, x, y) to shared memory, 512-byte aligned.
__device__ __forceinline__ void copy_frame_box(void* to, const CUtensorMap& map, int channel, int x, int y,
                                               Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], "
      "[%5];" ::"r"(shared_address(to)),
      "l"(&map), "r"(channel), "r"(x), "r"(y), "r"(shared_address(&barrier))
      : "memory");
}

/// How the products find rows of 64 bytes, swizzled as copies with CU_TENSOR_MAP_SWIZZLE_64B leave them:
/// eight that follow one another, the next eight `apart` bytes on. The swizzle goes by addresses, so that
/// rows may begin anywhere in its pattern.
__device__ __forceinline__ std::uint64_t describe_half_rows(const void* rows, int apart) {
  constexpr std::uint64_t kSwizzle64 = std::uint64_t{2} << 62;
  constexpr std::uint64_t kUnused = std::uint64_t{1} << 16;
  return (shared_address(rows) & 0x3ffffu) >> 4 | kUnused | std::uint64_t(apart >> 4) << 32 | kSwizzle64;
}

// clang-format off
#define TURBOCLIP_FOUR(j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define TURBOCLIP_16(j) TURBOCLIP_FOUR(j), TURBOCLIP_FOUR(j + 1), TURBOCLIP_FOUR(j + 2), TURBOCLIP_FOUR(j + 3)
#define TURBOCLIP_32(j) TURBOCLIP_16(j), TURBOCLIP_16(j + 4)
#define TURBOCLIP_NAMES_0 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define TURBOCLIP_NAMES_32 \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define TURBOCLIP_NAMES_48 \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define TURBOCLIP_NAMES_64 \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define TURBOCLIP_PRODUCT(columns, names, x, w, ...) \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.f16.f16 {" names "}, " x ", " w ", 1, 1, 1, 0, 0;" \
               : __VA_ARGS__ : "l"(a), "l"(b))
/// d += a b^T of 64 x 16 by (8 Tiles) x 16 halves; each warp of the group holds 16 rows as mma's fragments.
__device__ __forceinline__ void multiply_add_halves(float (&d)[8][4], std::uint64_t a, std::uint64_t b) {
  TURBOCLIP_PRODUCT("64", TURBOCLIP_NAMES_0, "%32", "%33", TURBOCLIP_32(0));
}
__device__ __forceinline__ void multiply_add_halves(float (&d)[12][4], std::uint64_t a, std::uint64_t b) {
  TURBOCLIP_PRODUCT("96", TURBOCLIP_NAMES_0 TURBOCLIP_NAMES_32, "%48", "%49", TURBOCLIP_32(0), TURBOCLIP_16(8));
}
__device__ __forceinline__ void multiply_add_halves(float (&d)[16][4], std::uint64_t a, std::uint64_t b) {
  TURBOCLIP_PRODUCT("128", TURBOCLIP_NAMES_0 TURBOCLIP_NAMES_32 TURBOCLIP_NAMES_48, "%64", "%65",
                    TURBOCLIP_32(0), TURBOCLIP_32(8));
}
__device__ __forceinline__ void multiply_add_halves(float (&d)[24][4], std::uint64_t a, std::uint64_t b) {
  TURBOCLIP_PRODUCT("192", TURBOCLIP_NAMES_0 TURBOCLIP_NAMES_32 TURBOCLIP_NAMES_48 TURBOCLIP_NAMES_64, "%96", "%97",
                    TURBOCLIP_32(0), TURBOCLIP_32(8), TURBOCLIP_32(16));
}
#undef TURBOCLIP_FOUR
#undef TURBOCLIP_16
#undef TURBOCLIP_32
#undef TURBOCLIP_NAMES_0
#undef TURBOCLIP_NAMES_32
#undef TURBOCLIP_NAMES_48
#undef TURBOCLIP_NAMES_64
#undef TURBOCLIP_PRODUCT
// clang-format on

}  // namespace turboclip::cuda::hopper
