// What sm_90a kernels whose blocks stay on their multiprocessor need besides: tiles that are put together in
// shared memory and leave by tensor copies, and clusters, blocks on neighbouring multiprocessors that share
// what they copy.
#pragma once

#include "cuda/hopper.cuh"

namespace turboclip::cuda::hopper {

/// Four 8x8 tiles of 16-bit values to shared memory: lane i names a row of 16 bytes of tile i / 8 and gives
/// two neighbours of row lane / 4 of every tile. The counterpart of load_tiles.
__device__ __forceinline__ void store_tiles(void* row, const std::uint32_t (&tiles)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(shared_address(row)),
               "r"(tiles[0]), "r"(tiles[1]), "r"(tiles[2]), "r"(tiles[3])
               : "memory");
}

/// Lets the copy engine see what this thread has written to shared memory; before the barrier after which one
/// thread starts the copy.
__device__ __forceinline__ void show_to_copies() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
/// Starts the copy of the map's box at (column, row) from shared memory; what lies outside the array is left
/// out.
__device__ __forceinline__ void store_box(const CUtensorMap& map, int column, int row, const void* from) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&map),
               "r"(column), "r"(row), "r"(shared_address(from))
               : "memory");
}
/// Closes a group of this thread's copies.
__device__ __forceinline__ void commit_stores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
/// Waits until this thread's copies have read their shared memory.
__device__ __forceinline__ void wait_stores_read() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}
/// Waits until they are done.
__device__ __forceinline__ void wait_stores() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }

/// This block's number in its cluster.
__device__ __forceinline__ unsigned cluster_rank() {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
/// All threads of a cluster meet.
__device__ __forceinline__ void meet_cluster() {
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
}
/// copy_box to the same place in the shared memory of every block in `blocks`, a bit each; each block's own
/// barrier in the place of `barrier` counts the bytes.
__device__ __forceinline__ void copy_box_to(unsigned blocks, void* to, const CUtensorMap& map, int column,
                                            int row, Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(to)),
      "l"(&map), "r"(column), "r"(row), "r"(shared_address(&barrier)), "h"(static_cast<std::uint16_t>(blocks))
      : "memory");
}
/// Arrives at a block's barrier in the place of `barrier`. Orders the block's own reads only: products that
/// have been waited for need no more, and a release to the whole cluster drains the multiprocessor.
__device__ __forceinline__ void arrive_at(unsigned block, Barrier& barrier) {
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
      "}" ::"r"(shared_address(&barrier)),
      "r"(block)
      : "memory");
}

}  // namespace turboclip::cuda::hopper
