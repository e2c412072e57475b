// Which key blocks each query block keeps: scores of block means in float32, the k-th largest by its bits,
// and the indices in ascending order. The lowest index wins a tie.
#include "cuda/numbers.cuh"
#include "cuda/self_attention.h"

namespace turboclip::cuda {
namespace {

constexpr int kQueries = 8;  // query blocks of a block, and its warps
constexpr int kThreads = kQueries * kWarp;

/// Larger floats have larger bits; NaN, which a fault upstream may leave, sorts anywhere.
__device__ __forceinline__ std::uint32_t ordered_bits(float value) {
  const std::uint32_t bits = __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

/// Writes the indices of the `kept` largest of a warp's scores.
__device__ __forceinline__ void select(const std::uint32_t* scores, int count, int kept, std::int32_t* out,
                                       int lane) {
  // The largest threshold that `kept` scores reach, from its highest bit down; any that just as many reach
  // will do, and is found halfway.
  std::uint32_t threshold = 0;
  int reached = count;
  for (std::uint32_t bit = 0x80000000u; bit != 0 && reached != kept; bit >>= 1) {
    int above = 0;
    for (int j = lane; j < count; j += kWarp) above += scores[j] >= (threshold | bit) ? 1 : 0;
    above = lanes_sum<kWarp>(above);
    if (above < kept) continue;
    threshold |= bit;
    reached = above;
  }
  // More reach it only if the last of them are tied.
  int ties = kept;
  if (reached != kept) {
    int above = 0;
    for (int j = lane; j < count; j += kWarp) above += scores[j] > threshold ? 1 : 0;
    ties = kept - lanes_sum<kWarp>(above);
  }
  const unsigned before = (1u << lane) - 1;
  int written = 0;
  for (int first = 0; first < count; first += kWarp) {
    const int j = first + lane;
    const bool tied = j < count && scores[j] == threshold;
    const unsigned tied_lanes = __ballot_sync(kAllLanes, tied);
    const bool taken = (j < count && scores[j] > threshold) || (tied && __popc(tied_lanes & before) < ties);
    const unsigned taken_lanes = __ballot_sync(kAllLanes, taken);
    if (taken) out[written + __popc(taken_lanes & before)] = j;
    written += __popc(taken_lanes);
    ties -= __popc(tied_lanes);
  }
}

__global__ void __launch_bounds__(kThreads)
    block_map_kernel(HeadShape shape, Heads heads, int kept, std::int32_t* lut) {
  auto* means = reinterpret_cast<float*>(shared_memory());  // [channel][query], sums in fact: ranks are equal
  auto* scores = reinterpret_cast<std::uint32_t*>(means + kHeadWidth * kQueries);  // [query][key block]
  const int thread = static_cast<int>(threadIdx.x);
  const int head = static_cast<int>(blockIdx.y);
  const int first = static_cast<int>(blockIdx.x) * kQueries;
  const auto key_blocks = static_cast<int>(shape.key_blocks());
  const auto query_blocks = static_cast<int>(shape.query_blocks());
  const float* sums = heads.q_sums + head * shape.key_blocks() * kHeadWidth;
  for (int i = thread; i < kHeadWidth * kQueries; i += kThreads) {
    const int half = 2 * (first + i / kHeadWidth);
    float sum = 0;
    if (half < key_blocks) sum = sums[half * kHeadWidth + i % kHeadWidth];
    if (half + 1 < key_blocks) sum += sums[(half + 1) * kHeadWidth + i % kHeadWidth];
    means[i % kHeadWidth * kQueries + i / kHeadWidth] = sum;
  }
  __syncthreads();
  const float* keys = heads.k_means + head * kHeadWidth * shape.key_blocks();
  // Two key blocks a thread at a time, which share what is read of the queries.
  for (int j = thread; j < key_blocks; j += 2 * kThreads) {
    const bool both = j + kThreads < key_blocks;
    const float* key = keys + j;
    const int apart = both ? kThreads : 0;
    float score[2][kQueries] = {};
#pragma unroll 16
    for (int d = 0; d < kHeadWidth; ++d) {
      const float k[2] = {key[0], key[apart]};
      key += key_blocks;
      float q[kQueries];
      load_floats(q, means + d * kQueries);
#pragma unroll
      for (int i = 0; i < kQueries; ++i) {
        score[0][i] = fmaf(q[i], k[0], score[0][i]);
        score[1][i] = fmaf(q[i], k[1], score[1][i]);
      }
    }
#pragma unroll
    for (int i = 0; i < kQueries; ++i) {
      scores[i * key_blocks + j] = ordered_bits(score[0][i]);
      if (both) scores[i * key_blocks + j + kThreads] = ordered_bits(score[1][i]);
    }
  }
  __syncthreads();
  const int query = thread / kWarp;
  if (first + query >= query_blocks) return;
  select(scores + query * key_blocks, key_blocks, kept,
         lut + (static_cast<std::int64_t>(head) * query_blocks + first + query) * kept, thread % kWarp);
}

}  // namespace

void block_map(Queue& queue, const HeadShape& shape, const Heads& heads, std::int64_t kept,
               std::int32_t* lut) {
  const std::size_t shared = kQueries * (kHeadWidth + static_cast<std::size_t>(shape.key_blocks())) * 4;
  queue.launch("block_map", block_map_kernel,
               {dim3(static_cast<unsigned>(ceil_div(shape.query_blocks(), kQueries)),
                     static_cast<unsigned>(shape.heads)),
                kThreads, shared},
               shape, heads, static_cast<int>(kept), lut);
}

}  // namespace turboclip::cuda
