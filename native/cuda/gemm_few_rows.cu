// Sixteen warps compute 256 outputs of up to 128 rows: W is mma's left operand, so that rows count in eights.
// A block of K is 128 bytes of a row, bfloat16 or INT8 alike; of INT8 that is one group of scales, whose
// int32 sums are promoted to float32. In bfloat16 a warp has 32 outputs and half of the rows, which takes
// least of shared memory; beside int32 sums the registers hold the left operand of 16 outputs only, and then
// a warp has all rows.
#include <algorithm>

#include "cuda/gemm_few_rows.h"
#include "cuda/numbers.cuh"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kPackThreads = 256;
constexpr int kStrips = kFewRowsColumns / kStripRows;  // of a block
constexpr int kSteps = kDepthBytes / 32;
constexpr int kStripBytes = kStripRows * kDepthBytes;
constexpr int kMostStages = 4;
constexpr int kMostRows = 128;  // of a block

struct Work {
  const unsigned char* x;  // rows of `row_bytes` bytes
  const float* x_scales;   // INT8
  std::int64_t rows;
  std::int64_t row_bytes;
  PackedWeight weight;
  float* sums;
  unsigned strips = 0;
  Shares shares{};
  unsigned stages = 0;
};

template <int Tiles>
constexpr int stage_bytes() {
  constexpr int kRows = 8 * Tiles;
  return kRows * kDepthBytes + kStrips * kStripBytes + kRows * static_cast<int>(sizeof(float));
}
static_assert(2 * stage_bytes<kMostRows / 8>() <= static_cast<int>(kSharedLimit));

/// Waits until at most stages - 2 groups of copies are under way.
__device__ __forceinline__ void wait_for_stage(unsigned stages) {
  if (stages == 2) {
    copy_wait<0>();
  } else if (stages == 3) {
    copy_wait<1>();
  } else {
    copy_wait<kMostStages - 2>();
  }
}

/// Four registers of the left operand, as this lane copied them.
__device__ __forceinline__ void load_left(std::uint32_t (&a)[4], const unsigned char* from) {
  const uint4 raw = *reinterpret_cast<const uint4*>(from);
  a[0] = raw.x;
  a[1] = raw.y;
  a[2] = raw.z;
  a[3] = raw.w;
}

/// The sums of a warp: 16 * Groups outputs by 8 * Tiles rows, in the fragments of mma.
template <int Groups, int Tiles>
struct WarpSums {
  static constexpr int kSlabStride = 16 * Groups + 4;  // keeps rows off one another's banks
  static constexpr int kPairs =
      (Tiles + 1) / 2;  // of tiles that are loaded together; of the last, one may be in vain
  float sums[Groups][Tiles][4];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int m = 0; m < Groups; ++m) {
#pragma unroll
      for (int j = 0; j < Tiles; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[m][j][e] = 0;
      }
    }
  }

  /// x: the lane's first row of the right operand in the stage; w: its 16 bytes of the strip.
  __device__ __forceinline__ void multiply_bf16(const unsigned char* x, unsigned swizzle,
                                                const unsigned char* w) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      std::uint32_t a[Groups][4];
#pragma unroll
      for (int m = 0; m < Groups; ++m) load_left(a[m], w + (m * kSteps + step) * 512);
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair) {
        std::uint32_t b[4];
        load_tiles(b, x + pair * 16 * kDepthBytes + (swizzle ^ 2 * step << 4));
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          if (2 * pair + half >= Tiles) continue;
          const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
#pragma unroll
          for (int m = 0; m < Groups; ++m) multiply_add_bf16(sums[m][2 * pair + half], a[m], right);
        }
      }
    }
  }

  /// x_scales: of the stage's rows, from the lane's first on.
  __device__ __forceinline__ void multiply_int8(const unsigned char* x, unsigned swizzle,
                                                const unsigned char* w, const float* x_scales,
                                                float w_scale) {
    constexpr std::int32_t kOrigin[4] = {kIntegerOrigin, kIntegerOrigin, kIntegerOrigin, kIntegerOrigin};
    std::uint32_t a[kSteps][Groups][4];
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
#pragma unroll
      for (int m = 0; m < Groups; ++m) load_left(a[step][m], w + (m * kSteps + step) * 512);
    }
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      // Else ptxas fetches the operands of all pairs at once, and registers spill.
      if (pair % 2 == 1) __syncwarp();
      std::int32_t partial[Groups][2][4];
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        std::uint32_t b[4];
        load_tiles(b, x + pair * 16 * kDepthBytes + (swizzle ^ 2 * step << 4));
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          if (2 * pair + half >= Tiles) continue;
          const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
#pragma unroll
          for (int m = 0; m < Groups; ++m) {
            if (step == 0) {
              multiply_s8(partial[m][half], a[step][m], right, kOrigin);
            } else {
              multiply_s8(partial[m][half], a[step][m], right, partial[m][half]);
            }
          }
        }
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if (2 * pair + half >= Tiles) continue;
        const float2 two = *reinterpret_cast<const float2*>(x_scales + 8 * (2 * pair + half));
        const float scale[2] = {two.x * w_scale, two.y * w_scale};
#pragma unroll
        for (int m = 0; m < Groups; ++m) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            float& sum = sums[m][2 * pair + half][e];
            sum = fmaf(from_origin(partial[m][half][e]), scale[e % 2], sum);
          }
        }
      }
    }
  }

  /// Through the warp's slab, eight rows at a time, so that whole lines go to memory. to: the warp's first
  /// row and column of the part; rows from `rows` on are left out.
  __device__ __forceinline__ void store(float* slab, float* to, std::int64_t out, int rows,
                                        unsigned lane) const {
    constexpr int kLanes = 4 * Groups;  // that store a row
#pragma unroll
    for (int j = 0; j < Tiles; ++j) {
      __syncwarp();
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        float* at = slab + (lane % 4 * 2 + e % 2) * kSlabStride + lane / 4 + e / 2 * 8;
#pragma unroll
        for (int m = 0; m < Groups; ++m) at[16 * m] = sums[m][j][e];
      }
      __syncwarp();
#pragma unroll
      for (int i = 0; i < 8; i += kWarp / kLanes) {
        const int row = i + static_cast<int>(lane / kLanes);
        if (8 * j + row >= rows) continue;
        *reinterpret_cast<float4*>(to + (8 * j + row) * out + lane % kLanes * 4) =
            *reinterpret_cast<const float4*>(slab + row * kSlabStride + lane % kLanes * 4);
      }
    }
  }
};

/// A block of K of a tile, and the stage of the ring that holds it: worked out anew each time, since what is
/// kept over the products costs registers.
struct Place {
  unsigned tile, k, stage;

  __device__ __forceinline__ Place(const Work& work, unsigned begin, unsigned block)
      : tile((begin + block) / work.shares.depth),
        k((begin + block) % work.shares.depth),
        stage(block % work.stages) {}
};

/// Copies of one block of K. What depends on the thread is computed anew in each; registers are dearer. Rows
/// past the last are copies of it: nothing of them is stored.
template <bool Int8, int Tiles>
__device__ __forceinline__ void start_copies(const Work& work, const Place& at, unsigned char* shared,
                                             unsigned first_row, unsigned thread) {
  constexpr unsigned kRows = 8 * Tiles;
  constexpr unsigned kChunks = kDepthBytes / 16;
  constexpr unsigned kStep = kThreads / kChunks;  // rows, a multiple of 8: the swizzle is the same in all
  unsigned char* stage = shared + at.stage * stage_bytes<Tiles>();
  const unsigned last = static_cast<unsigned>(work.rows) - 1;
  const unsigned row = thread / kChunks;
  const unsigned column = at.k * kDepthBytes + thread % kChunks * 16;
  unsigned char* to = stage + row * kDepthBytes + ((thread % kChunks ^ row % 8) << 4);
#pragma unroll
  for (unsigned i = 0; i < (kRows + kStep - 1) / kStep; ++i) {
    if ((i + 1) * kStep > kRows && row + i * kStep >= kRows) continue;
    const unsigned of_x = first_row + row + i * kStep;
    const std::int64_t line = static_cast<std::int64_t>(of_x < last ? of_x : last) * work.row_bytes;
    copy_async(to + i * kStep * kDepthBytes, work.x + line + column, 16);
  }
  constexpr unsigned kLanes = kStripBytes / 16;  // threads that copy a strip
#pragma unroll
  for (unsigned i = 0; i < kStrips * kLanes / kThreads; ++i) {
    const unsigned of_tile = i * (kThreads / kLanes) + thread / kLanes;
    const unsigned strip = at.tile * kStrips + of_tile;
    if (strip >= work.strips) continue;
    const std::int64_t block = static_cast<std::int64_t>(strip) * work.shares.depth + at.k;
    copy_async(stage + kRows * kDepthBytes + of_tile * kStripBytes + thread % kLanes * 16,
               work.weight.values + block * kStripBytes + thread % kLanes * 16, 16);
  }
  if (Int8 && thread < kRows) {
    const unsigned of_x = first_row + thread < last ? first_row + thread : last;
    copy_async_word(stage + kRows * kDepthBytes + kStrips * kStripBytes + 4 * thread,
                    work.x_scales + at.k * scale_stride(work.rows) + of_x, 4);
  }
}

template <bool Int8, int Tiles>
__global__ void __launch_bounds__(kThreads, 1) few_rows_kernel(Work work) {
  constexpr int kRows = 8 * Tiles;
  constexpr int kGroups = Int8 ? 1 : 2;                      // of 16 outputs of a warp
  constexpr int kAcross = kFewRowsColumns / (16 * kGroups);  // warps
  constexpr int kTiles = Tiles * kAcross / (kThreads / kWarp);
  using Sums = WarpSums<kGroups, kTiles>;
  static_assert(kThreads / kWarp * 8 * Sums::kSlabStride * static_cast<int>(sizeof(float)) <=
                kStrips * kStripBytes);
  unsigned char* shared = shared_memory();
  unsigned thread = threadIdx.x;
  const unsigned first_row = blockIdx.x * kRows;
  const unsigned share = blockIdx.y;
  const unsigned begin = work.shares.begin(share);
  const unsigned blocks = work.shares.begin(share + 1) - begin;
  const auto copy = [&](unsigned block) {
    if (block < blocks) {
      start_copies<Int8, Tiles>(work, Place(work, begin, block), shared, first_row, thread);
    }
    copy_commit();
  };
#pragma unroll 1
  for (unsigned i = 0; i + 1 < work.stages; ++i) copy(i);
  Sums sums;
  sums.clear();
#pragma unroll 1
  for (unsigned block = 0; block < blocks; ++block) {
    forget(thread);
    const Place place(work, begin, block);
    const unsigned column = thread / kWarp % kAcross * (16 * kGroups);
    const unsigned row = thread / (kWarp * kAcross) * (8 * kTiles);
    const unsigned strip = place.tile * kStrips + column / kStripRows;
    const bool mine = strip < work.strips;
    float w_scale = 0;
    if (Int8 && mine) {
      w_scale = work.weight.scales[strip / (kScaleGroup / kStripRows) * work.shares.depth + place.k];
    }
    wait_for_stage(work.stages);
    // The stage is here for all warps, and all have left the one that is filled next.
    __syncthreads();
    copy(block + work.stages - 1);
    const unsigned lane = thread % kWarp;
    unsigned char* stage = shared + place.stage * stage_bytes<Tiles>();
    unsigned char* strips = stage + kRows * kDepthBytes;
    if (mine) {
      const unsigned char* x = stage + (row + lane / 16 * 8 + lane % 8) * kDepthBytes;
      const unsigned swizzle = (lane / 8 % 2 ^ lane % 8) << 4;
      const unsigned char* w = strips + column * kDepthBytes + lane * 16;
      if constexpr (Int8) {
        const auto* scales = reinterpret_cast<const float*>(strips + kStrips * kStripBytes);
        sums.multiply_int8(x, swizzle, w, scales + row + lane % 4 * 2, w_scale);
      } else {
        sums.multiply_bf16(x, swizzle, w);
      }
    }
    if (place.k + 1 != work.shares.depth && block + 1 != blocks) continue;
    __syncthreads();  // the strips are read by all, and become slabs
    if (!mine) continue;
    const unsigned part = share - work.shares.first_owner(place.tile);
    float* slab = reinterpret_cast<float*>(strips) + thread / kWarp * 8 * Sums::kSlabStride;
    float* to = work.sums + (part * work.rows + first_row + row) * work.weight.out +
                place.tile * kFewRowsColumns + column;
    sums.store(slab, to, work.weight.out, static_cast<int>(work.rows - first_row - row), lane);
    sums.clear();
  }
}

/// Tiles of eight rows that a block takes: the least of these that hold its share of them.
int tiles_of(std::int64_t rows) {
  const std::int64_t each = ceil_div(rows, ceil_div(rows, kMostRows));
  for (const int tiles : {4, 8, 14}) {
    if (each <= 8 * tiles) return tiles;
  }
  return kMostRows / 8;
}

/// One block a multiprocessor; tiles of rows read the same weights side by side, out of L2.
template <bool Int8>
Shares shares_of(const Device& device, std::int64_t rows, std::int64_t out, std::int64_t in) {
  const std::int64_t depth = in * (Int8 ? 1 : 2) / kDepthBytes;
  const std::int64_t total = depth * ceil_div(out, kFewRowsColumns);
  const std::int64_t tiles = ceil_div(rows, 8 * tiles_of(rows));
  const std::int64_t count = std::clamp<std::int64_t>(device.multiprocessors / tiles, 1, total);
  return {static_cast<unsigned>(depth), static_cast<unsigned>(total), static_cast<unsigned>(count)};
}

template <bool Int8, int Tiles>
void launch(Queue& queue, Work& work) {
  constexpr int kStage = stage_bytes<Tiles>();
  const int stages = static_cast<int>(queue.device().shared_bytes) / kStage;
  work.stages = static_cast<unsigned>(std::clamp(stages, 2, kMostStages));
  queue.launch(
      Int8 ? "few_rows_int8" : "few_rows_bf16", few_rows_kernel<Int8, Tiles>,
      {dim3(static_cast<unsigned>(ceil_div(work.rows, 8 * Tiles)), static_cast<unsigned>(work.shares.count)),
       kThreads, static_cast<std::size_t>(work.stages) * kStage},
      work);
}

template <bool Int8>
PartialSums multiply(Queue& queue, Work work) {
  const PackedWeight& weight = work.weight;
  work.strips = static_cast<unsigned>(weight.out / kStripRows);
  work.shares = shares_of<Int8>(queue.device(), work.rows, weight.out, weight.in);
  switch (tiles_of(work.rows)) {
    case 4:
      launch<Int8, 4>(queue, work);
      break;
    case 8:
      launch<Int8, 8>(queue, work);
      break;
    case 14:
      launch<Int8, 14>(queue, work);
      break;
    default:
      launch<Int8, kMostRows / 8>(queue, work);
  }
  return {work.sums, work.rows, weight.out, work.shares};
}

/// A thread moves four bytes: of lane `word` / 4's register `word` % 4.
__global__ void __launch_bounds__(kPackThreads)
    pack_kernel(const unsigned char* matrix, std::int64_t row_bytes, unsigned words, unsigned char* packed) {
  const unsigned word = blockIdx.x * kPackThreads + threadIdx.x;
  if (word >= words) return;
  constexpr unsigned kWords = kStripBytes / 4;
  const auto depth = static_cast<unsigned>(row_bytes) / kDepthBytes;
  const unsigned block = word / kWords;
  const unsigned at = word % kWords;
  const unsigned lane = at / 4 % kWarp;
  const unsigned step = at / (4 * kWarp) % kSteps;
  const unsigned row = block / depth * kStripRows + at / (4 * kWarp * kSteps) * 16 + lane / 4 + at % 2 * 8;
  const unsigned byte = block % depth * kDepthBytes + step * 32 + at % 4 / 2 * 16 + lane % 4 * 4;
  *reinterpret_cast<std::uint32_t*>(packed + static_cast<std::int64_t>(4) * word) =
      *reinterpret_cast<const std::uint32_t*>(matrix + row * row_bytes + byte);
}

/// 1 / x as a division rounds it, but for the few x whose quotient lies next to a tie.
__device__ __forceinline__ float rounded_reciprocal(float x) {
  const float near = reciprocal(x);
  return fmaf(fmaf(-x, near, 1.0f), near, near);
}

__global__ void __launch_bounds__(kPackThreads)
    quantize_kernel(const Bf16* matrix, std::int64_t columns, std::int8_t* values, float* scales) {
  constexpr int kEach = kScaleGroup * kScaleGroup / kPackThreads / 8;  // groups of eight values of a thread
  constexpr float kLevels = 128;
  auto* parts = reinterpret_cast<float*>(shared_memory());
  const auto thread = static_cast<int>(threadIdx.x);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * kScaleGroup * columns +
                             static_cast<std::int64_t>(blockIdx.x) * kScaleGroup;
  const auto offset = [&](int i) {
    const int row = i * (kPackThreads / 16) + thread / 16;
    return first + row * columns + thread % 16 * 8;
  };
  float largest = 1e-8f;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    float v[8];
    load_bf16(v, matrix + offset(i));
#pragma unroll
    for (const float value : v) largest = fmaxf(largest, fabsf(value));
  }
  largest = lanes_max<kWarp>(largest);
  if (thread % kWarp == 0) parts[thread / kWarp] = largest;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kPackThreads / kWarp; ++i) largest = fmaxf(largest, parts[i]);
  const float factor = kLevels * rounded_reciprocal(largest);
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    float v[8];
    load_bf16(v, matrix + offset(i));
#pragma unroll
    for (float& value : v) value = fminf(value * factor, kLevels - 1);
    store_int8(values + offset(i), v, 1.0f);
  }
  if (thread == 0) scales[blockIdx.y * (columns / kScaleGroup) + blockIdx.x] = largest * (1 / kLevels);
}

}  // namespace

void pack_weight(Queue& queue, const void* matrix, std::int64_t rows, std::int64_t row_bytes,
                 unsigned char* packed) {
  const std::int64_t words = rows * row_bytes / 4;
  queue.launch("pack_weight", pack_kernel,
               {dim3(static_cast<unsigned>(ceil_div(words, kPackThreads))), kPackThreads},
               static_cast<const unsigned char*>(matrix), row_bytes, static_cast<unsigned>(words), packed);
}

void quantize_weight(Queue& queue, const Bf16* matrix, std::int64_t rows, std::int64_t columns,
                     std::int8_t* values, float* scales) {
  queue.launch("quantize_weight", quantize_kernel,
               {dim3(static_cast<unsigned>(columns / kScaleGroup), static_cast<unsigned>(rows / kScaleGroup)),
                kPackThreads, kPackThreads / kWarp * sizeof(float)},
               matrix, columns, values, scales);
}

Shares few_rows_shares(const Device& device, std::int64_t rows, std::int64_t out, std::int64_t in,
                       bool int8) {
  return int8 ? shares_of<true>(device, rows, out, in) : shares_of<false>(device, rows, out, in);
}

PartialSums multiply_few_rows(Queue& queue, const Bf16Rows& x, const PackedWeight& weight, float* sums) {
  return multiply<false>(
      queue, {reinterpret_cast<const unsigned char*>(x.values), nullptr, x.rows, 2 * x.width, weight, sums});
}
PartialSums multiply_few_rows(Queue& queue, const Int8Rows& x, const PackedWeight& weight, float* sums) {
  return multiply<true>(
      queue, {reinterpret_cast<const unsigned char*>(x.values), x.scales, x.rows, x.width, weight, sums});
}

}  // namespace turboclip::cuda
