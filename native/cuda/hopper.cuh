// What sm_90a alone has: products of a warpgroup (four warps) that read their operands from shared memory,
// where tensor copies put them, and registers handed from one warpgroup to another.
#pragma once

#include "cuda/async.cuh"

namespace turboclip::cuda::hopper {

using namespace async;

inline constexpr int kWarpgroup = 128;

/// How the products find rows of 128 bytes, swizzled as copy_box with CU_TENSOR_MAP_SWIZZLE_128B leaves them,
/// eight to 1024 bytes. Steps along K add bytes / 16.
__device__ __forceinline__ std::uint64_t describe_rows(const void* rows) {
  constexpr std::uint64_t kEightRows = std::uint64_t{1024 >> 4} << 32;
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62;
  constexpr std::uint64_t kUnused = std::uint64_t{1} << 16;
  return (shared_address(rows) & 0x3ffffu) >> 4 | kUnused | kEightRows | kSwizzle128;
}

/// The same where the product's depth goes down the rows: two tiles of rows of 128 bytes, `apart` bytes from
/// one to the other, give the 128 columns of 16-bit values. Steps of 8 rows add 1024 / 16.
__device__ __forceinline__ std::uint64_t describe_columns(const void* rows, int apart) {
  constexpr std::uint64_t kEightRows = std::uint64_t{1024 >> 4} << 32;
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62;
  return (shared_address(rows) & 0x3ffffu) >> 4 | std::uint64_t(apart >> 4) << 16 | kEightRows | kSwizzle128;
}

/// What is described, so many bytes further: within the 256 KiB that the low word can name.
__device__ __forceinline__ std::uint64_t further(std::uint64_t described, int bytes) {
  const auto low = static_cast<std::uint32_t>(described) + static_cast<std::uint32_t>(bytes >> 4);
  return (described & 0xffffffff00000000u) | low;
}

/// Before a warpgroup's first product, and whenever other code has touched its sums or its operands in
/// registers.
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
/// Closes a group of products.
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits until at most `Open` groups are under way. What they have summed must then pass through `settle`.
template <int Open>
__device__ __forceinline__ void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Open) : "memory");
}
/// Keeps code that reads sums behind the wait for them.
template <int Tiles>
__device__ __forceinline__ void settle(std::int32_t (&sums)[Tiles][4]) {
#pragma unroll
  for (int j = 0; j < Tiles; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) asm volatile("" : "+r"(sums[j][e])::"memory");
  }
}
template <int Tiles>
__device__ __forceinline__ void settle(float (&sums)[Tiles][4]) {
#pragma unroll
  for (int j = 0; j < Tiles; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) asm volatile("" : "+f"(sums[j][e])::"memory");
  }
}

// clang-format off
#define TURBOCLIP_FOUR(kind, j) kind(d[j][0]), kind(d[j][1]), kind(d[j][2]), kind(d[j][3])
#define TURBOCLIP_32(kind, j) \
  TURBOCLIP_FOUR(kind, j), TURBOCLIP_FOUR(kind, j + 1), TURBOCLIP_FOUR(kind, j + 2), TURBOCLIP_FOUR(kind, j + 3), \
  TURBOCLIP_FOUR(kind, j + 4), TURBOCLIP_FOUR(kind, j + 5), TURBOCLIP_FOUR(kind, j + 6), TURBOCLIP_FOUR(kind, j + 7)
#define TURBOCLIP_FIRST_32 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define TURBOCLIP_NEXT_32 \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
/// d (+)= x w^T of 64 x 32 by 128 x 32 int8 values; each warp of the group holds 16 rows as mma's fragments.
__device__ __forceinline__ void multiply_64x128(std::int32_t (&d)[16][4], std::uint64_t x, std::uint64_t w, bool add) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.ne.b32 add, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {" TURBOCLIP_FIRST_32 ", " TURBOCLIP_NEXT_32 "}, "
      "%64, %65, add;\n"
      "}"
      : TURBOCLIP_32("+r", 0), TURBOCLIP_32("+r", 8)
      : "l"(x), "l"(w), "r"(static_cast<int>(add)));
}
/// The same of 64 x 32 by 64 x 32 values.
__device__ __forceinline__ void multiply_64x64(std::int32_t (&d)[8][4], std::uint64_t x, std::uint64_t w, bool add) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.ne.b32 add, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k32.s32.s8.s8 {" TURBOCLIP_FIRST_32 "}, %32, %33, add;\n"
      "}"
      : TURBOCLIP_32("+r", 0)
      : "l"(x), "l"(w), "r"(static_cast<int>(add)));
}
/// The same of 64 x 16 by 128 x 16 bfloat16 values.
__device__ __forceinline__ void multiply_64x128(float (&d)[16][4], std::uint64_t x, std::uint64_t w, bool add) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.ne.b32 add, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" TURBOCLIP_FIRST_32 ", " TURBOCLIP_NEXT_32 "}, "
      "%64, %65, add, 1, 1, 0, 0;\n"
      "}"
      : TURBOCLIP_32("+f", 0), TURBOCLIP_32("+f", 8)
      : "l"(x), "l"(w), "r"(static_cast<int>(add)));
}
/// d (+)= x w of 64 x 16 by 16 x 128 bfloat16 values: x in mma's fragments, 16 rows a warp, w by describe_columns.
__device__ __forceinline__ void multiply_add_64x128(float (&d)[16][4], const std::uint32_t (&x)[4], std::uint64_t w,
                                                    bool add = true) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.ne.b32 add, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" TURBOCLIP_FIRST_32 ", " TURBOCLIP_NEXT_32 "}, "
      "{%64, %65, %66, %67}, %68, add, 1, 1, 1;\n"
      "}"
      : TURBOCLIP_32("+f", 0), TURBOCLIP_32("+f", 8)
      : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "l"(w), "r"(static_cast<int>(add)));
}
#undef TURBOCLIP_FOUR
#undef TURBOCLIP_32
#undef TURBOCLIP_FIRST_32
#undef TURBOCLIP_NEXT_32
// clang-format on

/// Registers a thread of the warpgroup, a multiple of 8: fewer, or as many more as others gave back.
template <int Count>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}
template <int Count>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

}  // namespace turboclip::cuda::hopper
