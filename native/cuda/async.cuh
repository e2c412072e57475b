// Tensor copies (TMA) and the barriers in shared memory on which they complete: what sm_90 and sm_120 have
// and sm_89 has not, in PTX that both share. And barriers among some of a block's warps.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "cuda/simt.cuh"

namespace turboclip::cuda::async {

/// The block's dynamic shared memory, aligned as boxes of swizzled rows need it.
__device__ __forceinline__ unsigned char* swizzled_shared_memory() {
  extern __shared__ __align__(1024) unsigned char swizzled[];
  return swizzled;
}

/// A barrier in shared memory. It counts arrivals and the bytes of copies; its phases alternate in parity.
struct Barrier {
  std::uint64_t state;
};

__device__ __forceinline__ void initialize(Barrier& barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)), "r"(arrivals)
               : "memory");
}
/// Makes initialised barriers known to the copy engine; before the block's first __syncthreads.
__device__ __forceinline__ void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void arrive(Barrier& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier)) : "memory");
}
/// Arrives, and lets the phase last until so many bytes have been copied.
__device__ __forceinline__ void arrive_expecting(Barrier& barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)),
               "r"(bytes)
               : "memory");
}
/// Arrives once this thread's copy_async so far have landed.
__device__ __forceinline__ void arrive_when_copied(Barrier& barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(&barrier))
               : "memory");
}
/// Waits for the end of the phase of that parity; a fresh barrier counts as past a phase of parity 1.
__device__ __forceinline__ void wait(Barrier& barrier, unsigned parity) {
  std::uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
        "selp.u32 %0, 1, 0, done;\n"
        "}"
        : "=r"(done)
        : "r"(shared_address(&barrier)), "r"(parity)
        : "memory");
  }
}

/// Whether that phase has ended, without waiting.
__device__ __forceinline__ bool ended(Barrier& barrier, unsigned parity) {
  std::uint32_t done;
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "mbarrier.test_wait.parity.shared::cta.b64 done, [%1], %2;\n"
      "selp.u32 %0, 1, 0, done;\n"
      "}"
      : "=r"(done)
      : "r"(shared_address(&barrier)), "r"(parity)
      : "memory");
  return done != 0;
}

/// Starts the copy of the map's box at (column, row) to shared memory, 1024-byte aligned. To the block's own:
/// where it is named as a cluster's, sm_120 gets a call of the system in place of an instruction.
__device__ __forceinline__ void copy_box(void* to, const CUtensorMap& map, int column, int row,
                                         Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cta.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], "
      "[%4];" ::"r"(shared_address(to)),
      "l"(&map), "r"(column), "r"(row), "r"(shared_address(&barrier))
      : "memory");
}
/// Starts the copy of contiguous bytes, a multiple of 16 from and to 16-byte aligned addresses.
__device__ __forceinline__ void copy_bytes(void* to, const void* from, unsigned bytes, Barrier& barrier) {
  asm volatile("cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   shared_address(to)),
               "l"(from), "r"(bytes), "r"(shared_address(&barrier))
               : "memory");
}

/// A numbered barrier of so many threads, 1 to 15 (0 is __syncthreads): `meet` waits until all have met or
/// announced.
__device__ __forceinline__ void meet(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
__device__ __forceinline__ void announce(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

}  // namespace turboclip::cuda::async
