// A block has 128 channels, which are two heads of 64 or four of 32, and 64 queries: eight warps of 16
// queries and half of the channels. q, k and v are added up from the product's parts and rounded to bfloat16
// on their way to shared memory; scores, softmax and sums are float32.
#include "cuda/attention_tile.cuh"
#include "cuda/partial_sums.cuh"
#include "cuda/row_store.cuh"
#include "cuda/umt5_attention.h"

namespace turboclip::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kChannels = kHeadWidth;  // of a block, which fill a tile's rows (tiles.cuh)
constexpr int kQueries = 64;
constexpr int kKeys = 64;  // of a tile
constexpr int kTileBytes = 64 * kHeadRowBytes;
constexpr int kBiases =
    static_cast<int>(kMostTokens) + kQueries;  // of a head: distances from this block's queries
constexpr int kOutStride = kChannels + 8;      // keeps rows off one another's banks
constexpr float kLog2E = 1.4426950408889634f;
static_assert(kQueries * kOutStride * static_cast<int>(sizeof(float)) <= 3 * kTileBytes);

template <int Width>
constexpr int shared_bytes() {
  return 3 * kTileBytes + kChannels / Width * kBiases * static_cast<int>(sizeof(float));
}
static_assert(shared_bytes<32>() <= static_cast<int>(kSharedLimit));

/// 128 columns of the projections, whose sums lie in equally many parts.
struct Columns {
  int first;
  unsigned parts;

  __device__ __forceinline__ Columns(const PartialSums& sums, int column)
      : first(column), parts(parts_of(sums, column)) {}
};

/// Rows first .. first + 63 as a tile; those past the last become zeros.
__device__ __forceinline__ void load_tile(unsigned char* tile, const PartialSums& sums,
                                          const Columns& columns, int first, int thread) {
  constexpr int kApart = kThreads / 16;
  constexpr int kRows = 64 / kApart;
  const int row = thread / 16;
  const int chunk = thread % 16;
  float v[kRows][8] = {};
  add_sums<kRows, kApart>(v, sums, columns.parts, first + row, static_cast<int>(sums.rows),
                          columns.first + 8 * chunk);
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    *reinterpret_cast<uint4*>(tile + head_offset(row + i * kApart, chunk)) =
        make_uint4(pack_bf16(v[i][0], v[i][1]), pack_bf16(v[i][2], v[i][3]), pack_bf16(v[i][4], v[i][5]),
                   pack_bf16(v[i][6], v[i][7]));
  }
}

/// One head's sums over the keys so far, for 16 queries of a warp.
template <int Width>
struct HeadSums {
  float sums[Width / 8][4] = {};
  float largest[2] = {kMinusInfinity, kMinusInfinity};
  float total[2] = {0, 0};  // of this lane's weights; the quad's sum is the row's

  /// q, k, v: tiles; chunk: the head's first 16 bytes in their rows; bias: of the head, at the tile's first
  /// key and the lane's first query.
  __device__ __forceinline__ void add_keys(const unsigned char* q, const unsigned char* k,
                                           const unsigned char* v, int query, int chunk, const float* bias,
                                           int keys, int lane) {
    float scores[kKeys / 8][4] = {};
#pragma unroll
    for (int step = 0; step < Width / 16; ++step) {
      std::uint32_t a[4];
      load_tiles(a, head_chunk(q, query + lane % 16, chunk + 2 * step + lane / 16));
#pragma unroll
      for (int j = 0; j < kKeys / 16; ++j) {
        std::uint32_t b[4];
        load_tiles(b, head_chunk(k, 16 * j + lane / 16 * 8 + lane % 8, chunk + 2 * step + lane / 8 % 2));
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
          multiply_add_bf16(scores[2 * j + half], a, right);
        }
      }
    }
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int key = 8 * j + lane % 4 * 2 + e % 2;
        const float biased = fmaf(scores[j][e], kLog2E, bias[8 * j + e % 2 - e / 2 * 8]);
        scores[j][e] = key < keys ? biased : kMinusInfinity;
      }
    }
    weigh(scores);
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) {
      std::uint32_t weights[4];
      pack_weights(weights, scores[2 * step], scores[2 * step + 1]);
#pragma unroll
      for (int j = 0; j < Width / 16; ++j) {
        std::uint32_t b[4];
        load_tiles_transposed(b, head_chunk(v, 16 * step + lane % 16, chunk + 2 * j + lane / 16));
        const std::uint32_t left[2] = {b[0], b[1]};
        const std::uint32_t right[2] = {b[2], b[3]};
        multiply_add_bf16(sums[2 * j], weights, left);
        multiply_add_bf16(sums[2 * j + 1], weights, right);
      }
    }
  }

  /// Scores, as exponents of 2, to weights; what was summed follows the new largest. A tile has a key at
  /// least.
  __device__ __forceinline__ void weigh(float (&scores)[kKeys / 8][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float tile = scores[0][2 * half];
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
        tile = max_or_nan(tile, max_or_nan(scores[j][2 * half], scores[j][2 * half + 1]));
      }
      const float raised = max_or_nan(largest[half], lanes_max<4>(tile));
      const float by = exp2_fast(largest[half] - raised);
      largest[half] = raised;
      total[half] *= by;
#pragma unroll
      for (int j = 0; j < Width / 8; ++j) {
        sums[j][2 * half] *= by;
        sums[j][2 * half + 1] *= by;
      }
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          scores[j][e] = exp2_fast(scores[j][e] - raised);
          total[half] += scores[j][e];
        }
      }
    }
  }

  /// to: the head's first column in the block's rows of output.
  __device__ __forceinline__ void store(float* to, int lane) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float factor = reciprocal(lanes_sum<4>(total[half]));
      float* line = to + (lane / 4 + 8 * half) * kOutStride + lane % 4 * 2;
#pragma unroll
      for (int j = 0; j < Width / 8; ++j) {
        *reinterpret_cast<float2*>(line + 8 * j) =
            make_float2(sums[j][2 * half] * factor, sums[j][2 * half + 1] * factor);
      }
    }
  }
};

template <int Width, class Store>
__global__ void __launch_bounds__(kThreads)
    text_attention_kernel(PartialSums projections, int channels, const float* bias, Store store) {
  constexpr int kHeads = kChannels / Width;
  constexpr int kHeadsOfWarp = kHeads / 2;
  unsigned char* q = shared_memory();
  unsigned char* k = q + kTileBytes;
  unsigned char* v = k + kTileBytes;
  auto* biases = reinterpret_cast<float*>(v + kTileBytes);
  const auto thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int warp = thread / kWarp;
  const auto rows = static_cast<int>(projections.rows);
  const int column = static_cast<int>(blockIdx.x) * kChannels;
  const int first = static_cast<int>(blockIdx.y) * kQueries;
  // Of the last query and key 0 first: key - query + kQueries - 1, both counted from the block's first query.
  constexpr int kLastQuery = kQueries - 1;
  for (int i = thread; i < kHeads * kBiases; i += kThreads) {
    const int at = i % kBiases - kLastQuery - first + static_cast<int>(kMostTokens) - 1;
    const float* head = bias + (static_cast<int>(blockIdx.x) * kHeads + i / kBiases) * kDistances;
    biases[i] = at >= 0 && at < kDistances ? head[at] : 0.0f;
  }
  load_tile(q, projections, Columns(projections, column), first, thread);
  const Columns keys(projections, channels + column);
  const Columns values(projections, 2 * channels + column);
  const int query = warp % 4 * 16;
  const int first_head = warp / 4 * kHeadsOfWarp;
  HeadSums<Width> heads[kHeadsOfWarp];
#pragma unroll 1
  for (int key = 0; key < rows; key += kKeys) {
    __syncthreads();  // all have left the tile before
    load_tile(k, projections, keys, key, thread);
    load_tile(v, projections, values, key, thread);
    __syncthreads();
#pragma unroll
    for (int h = 0; h < kHeadsOfWarp; ++h) {
      const int head = first_head + h;
      const float* at = biases + head * kBiases + key + lane % 4 * 2 - (query + lane / 4) + kLastQuery;
      heads[h].add_keys(q, k, v, query, head * (Width / 8), at, rows - key, lane);
    }
  }
  __syncthreads();
  auto* mixed = reinterpret_cast<float*>(q);
#pragma unroll
  for (int h = 0; h < kHeadsOfWarp; ++h) {
    heads[h].store(mixed + query * kOutStride + (first_head + h) * Width, lane);
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kQueries * 16 / kThreads; ++i) {
    const int row = i * (kThreads / 16) + thread / 16;
    float mix[8];
    load_floats(mix, mixed + row * kOutStride + thread % 16 * 8);
    store(first + row, column + thread % 16 * 8, mix, first + row < rows);
  }
}

template <int Width, class Store>
void launch(Queue& queue, const PartialSums& projections, std::int64_t channels, const float* bias,
            const Store& store) {
  queue.launch("text_attention", text_attention_kernel<Width, Store>,
               {dim3(static_cast<unsigned>(channels / kChannels),
                     static_cast<unsigned>(ceil_div(projections.rows, kQueries))),
                kThreads, shared_bytes<Width>()},
               projections, static_cast<int>(channels), bias, store);
}

template <int Width>
void launch(Queue& queue, const PartialSums& projections, std::int64_t channels, const float* bias,
            const TextRows& out) {
  if (out.int8 != nullptr) {
    launch<Width>(queue, projections, channels, bias,
                  StoreInt8Row{out.int8, out.scales, channels, scale_stride(projections.rows)});
  } else {
    launch<Width>(queue, projections, channels, bias, StoreBf16Row{out.bf16, channels});
  }
}

}  // namespace

void text_attention(Queue& queue, const PartialSums& projections, const TextHeads& heads, const float* bias,
                    const TextRows& out) {
  const std::int64_t channels = heads.heads * heads.width;
  if (heads.width == 32) return launch<32>(queue, projections, channels, bias, out);
  launch<64>(queue, projections, channels, bias, out);
}

}  // namespace turboclip::cuda
