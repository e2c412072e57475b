// From the projections to what attention reads, and the linear branch's f(k)^T v, in one pass: q, k and v are
// read once, and f(k) never leaves the multiprocessor. A block takes some key blocks of one head, one after
// the other: while it works on one, the next one's rows are on their way.
#include "cuda/head_rows.cuh"
#include "cuda/tiles.cuh"

namespace turboclip::cuda {
namespace {

constexpr int kPartBlocks = 16;   // key blocks of a block: few enough partial matrices, many enough blocks
constexpr int kOffsetRows = 256;  // that the offset of k is the mean of
constexpr int kRowsAThread = kKeyBlock / kRowsAtOnce;  // 2
constexpr int kTileBytes = kKeyBlock * kHeadRowBytes;
// q in one stage, which every thread fills again as soon as it has read what it copied; k and v in two.
constexpr int kKeyTiles = kTileBytes;
constexpr int kValueTiles = kKeyTiles + 2 * kTileBytes;
constexpr int kSums = kValueTiles + 2 * kTileBytes;
constexpr int kMaxima = kSums + 2 * kSumFloats * static_cast<int>(sizeof(float));
// The warps' largest values of k, then of v.
constexpr int kSharedBytes = kMaxima + 2 * kHeadWarps * static_cast<int>(sizeof(float));
static_assert(kSharedBytes <= static_cast<int>(kSharedLimit));

/// The mean of k over evenly spaced rows: near enough to the mean of all, and one pass cheaper.
__global__ void __launch_bounds__(kHeadThreads)
    key_offset_kernel(HeadShape shape, Projections projections, HeadWeights weights, RotaryAngles angles,
                      float* offsets) {
  auto* shared = reinterpret_cast<float*>(shared_memory());
  const int head = static_cast<int>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  const int column = thread % kLanesARow * 8;
  const std::int64_t channels = shape.channels();
  const Bf16* keys = projections.values + channels + head * kHeadWidth + column;
  float weight[8];
  load_floats(weight, weights.norm_k + head * kHeadWidth + column);
  const int tokens = static_cast<int>(shape.tokens);
  const int count = tokens < kOffsetRows ? tokens : kOffsetRows;
  const int apart = tokens / count;
  float sum[8] = {};
#pragma unroll 4
  for (int i = thread / kLanesARow; i < count; i += kRowsAtOnce) {
    const int row = i * apart;
    float k[8];
    Turns(shape, angles, Place(shape, row), column)
        .apply(k, *reinterpret_cast<const uint4*>(keys + row * 3 * channels), weight);
    const float inverse = projections.k_inverse[row];
#pragma unroll
    for (int e = 0; e < 8; ++e) sum[e] = fmaf(k[e], inverse, sum[e]);
  }
  share_sum(shared, sum, thread);
  __syncthreads();
  if (thread < kHeadWidth) {
    offsets[head * kHeadWidth + thread] =
        sum_of_warps(shared, thread) * reciprocal(static_cast<float>(count));
  }
}

/// f(k)^T v: a warp's 32 features by 32 channels, and its features' sums.
struct State {
  float products[2][4][4] = {};
  float sums[2][4] = {};  // every column the same

  /// Adds a tile of 64 rows.
  __device__ __forceinline__ void add(const unsigned char* k, const unsigned char* v, int warp, int lane) {
    const int feature = warp / 4 * 32;
    const int channel = warp % 4 * 32;
#pragma unroll
    for (int step = 0; step < kKeyBlock / 16; ++step) {
      std::uint32_t a[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        // Tiles (rows 0-7, 8-15) x (features 0-7, 8-15), the features first.
        load_tiles_transposed(
            a[i], head_chunk(k, 16 * step + lane / 16 * 8 + lane % 8, (feature + 16 * i) / 8 + lane / 8 % 2));
      }
      const std::uint32_t ones[2] = {0x3f803f80u, 0x3f803f80u};
      if (channel == 0) {
#pragma unroll
        for (int i = 0; i < 2; ++i) multiply_add_bf16(sums[i], a[i], ones);
      }
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        std::uint32_t b[4];
        load_tiles_transposed(b, head_chunk(v, 16 * step + lane % 16, (channel + 16 * j) / 8 + lane / 16));
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const std::uint32_t right[2] = {b[2 * half], b[2 * half + 1]};
#pragma unroll
          for (int i = 0; i < 2; ++i) multiply_add_bf16(products[i][2 * j + half], a[i], right);
        }
      }
    }
  }

  /// out: [features][channels], then the features' sums.
  __device__ __forceinline__ void store(float* out, int warp, int lane) const {
    const int feature = warp / 4 * 32 + lane / 4;
    const int channel = warp % 4 * 32;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = feature + 16 * i + 8 * half;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          *reinterpret_cast<float2*>(out + row * kHeadWidth + channel + 8 * j + lane % 4 * 2) =
              make_float2(products[i][j][2 * half], products[i][j][2 * half + 1]);
        }
        if (channel == 0 && lane % 4 == 0) out[kHeadWidth * kHeadWidth + row] = sums[i][2 * half];
      }
    }
  }
};

/// The largest of what the warps left.
__device__ __forceinline__ float largest_of_warps(const float* of_warps) {
  float largest = 0;
#pragma unroll
  for (int i = 0; i < kHeadWarps; i += 4) {
    const float4 four = *reinterpret_cast<const float4*>(of_warps + i);
    largest = max_or_nan(largest, max_or_nan(max_or_nan(four.x, four.y), max_or_nan(four.z, four.w)));
  }
  return largest;
}

/// The scale that takes `largest` to kMostValue; NaN for NaN. 1 for what is as good as zeros, by which sums
/// that count in other blocks' scales stay finite: 2^40 * 2.25 * 2^17 keys * 448 * values of up to 2^60.
__device__ __forceinline__ float value_scale(float largest) {
  return largest < 0x1p-40f ? 1.0f : largest * (1.0f / kMostValue);
}

/// Quantises a key block's values, 64 rows of v, into [128][64] as Heads::v has them: a warp's 8 channels. A
/// lane gets the keys of its 4 bytes of every 16 together where tiles of 8 keys are transposed.
__device__ __forceinline__ void store_values(E4m3* out, const unsigned char* v, float scale, int warp,
                                             int lane) {
  static_assert(kHeadWarps * 8 == kHeadWidth);
  const float factor = reciprocal(scale);
  auto* words = reinterpret_cast<std::uint32_t*>(out + (8 * warp + lane / 4) * kKeyBlock) + lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    std::uint32_t pairs[4];
    load_tiles_transposed(pairs, head_chunk(v, 32 * half + lane, warp));
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      words[8 * half + 2 * i] = pack_e4m3(low_half(pairs[i]) * factor, high_half(pairs[i]) * factor,
                                          low_half(pairs[i + 1]) * factor, high_half(pairs[i + 1]) * factor);
    }
  }
}

/// Linear: with the linear branch, whose state's parts are written to `parts`. E4m3Values: with v for
/// AttentionTiles::e4m3.
template <bool Linear, bool E4m3Values>
__global__ void __launch_bounds__(kHeadThreads, 1)
    heads_kernel(HeadShape shape, Projections projections, HeadWeights weights, RotaryAngles angles,
                 Heads heads, float* parts) {
  unsigned char* shared = shared_memory();
  unsigned place_of_thread = threadIdx.x;
  auto* of_warps = reinterpret_cast<float*>(shared + kMaxima);
  const auto head = static_cast<int>(blockIdx.x);
  const auto tokens = static_cast<int>(shape.tokens);
  const auto key_blocks = static_cast<int>(shape.key_blocks());
  const auto stride = static_cast<unsigned>(3 * shape.channels());
  const int first = static_cast<int>(blockIdx.y) * kPartBlocks;
  const int end = first + kPartBlocks < key_blocks ? first + kPartBlocks : key_blocks;
  const auto sums = [&](int i) { return reinterpret_cast<float*>(shared + kSums) + i * kSumFloats; };
  const auto channels = static_cast<unsigned>(shape.channels());
  // Starts the copy of this thread's share of a key block, zeros past the last row.
  const auto copy = [&](unsigned char* tile, unsigned column, int block, unsigned thread) {
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      const int in_tile = static_cast<int>(thread / kLanesARow) + i * kRowsAtOnce;
      const int row = block * kKeyBlock + in_tile;
      const bool inside = row < tokens;
      const auto chunk = static_cast<int>(thread % kLanesARow);
      copy_async(tile + head_offset(in_tile, chunk),
                 projections.values + (static_cast<std::uint64_t>(inside ? row : 0) * stride + column +
                                       static_cast<unsigned>(head * kHeadWidth + chunk * 8)),
                 inside ? 16 : 0);
    }
  };
  const auto copy_keys = [&](int block, unsigned thread) {
    if (block < end) {
      copy(shared + kKeyTiles + block % 2 * kTileBytes, channels, block, thread);
      if (Linear || E4m3Values) {
        copy(shared + kValueTiles + block % 2 * kTileBytes, 2 * channels, block, thread);
      }
    }
    copy_commit();
  };
  copy(shared, 0, first, place_of_thread);
  copy_commit();
  copy_keys(first, place_of_thread);
  const Place step(shape, kRowsAtOnce);
  Place place(shape, first * kKeyBlock + static_cast<int>(threadIdx.x) / kLanesARow);
  State state;
#pragma unroll 1
  for (int block = first; block < end; ++block) {
    forget(place_of_thread);  // or what is computed from it would wait in registers
    const auto thread = static_cast<int>(place_of_thread);
    const int chunk = thread % kLanesARow;
    const int column = chunk * 8;
    const int in_tile = thread / kLanesARow;
    const int row = block * kKeyBlock + in_tile;
    bool inside[kRowsAThread];
    Turns turns[kRowsAThread];
    float weight[8];
    float inverse[kRowsAThread];
    float x[kRowsAThread][8];
    uint4 raw[kRowsAThread];
    float part[8];
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      inside[i] = row + i * kRowsAtOnce < tokens;
      inverse[i] = inside[i] ? projections.q_inverse[row + i * kRowsAtOnce] : 0.0f;
      turns[i] = Turns(shape, angles, place, column);
      place.advance(step, shape);
    }
    load_floats(weight, weights.norm_q + head * kHeadWidth + column);
    // q.
    copy_wait<1>();
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      raw[i] = *reinterpret_cast<const uint4*>(shared + head_offset(in_tile + i * kRowsAtOnce, chunk));
    }
    if (block + 1 < end) copy(shared, 0, block + 1, place_of_thread);
    copy_commit();
#pragma unroll
    for (int e = 0; e < 8; ++e) part[e] = 0;
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      turns[i].apply(x[i], raw[i], weight);
#pragma unroll
      for (int e = 0; e < 8; ++e) part[e] = fmaf(x[i][e], inverse[i], part[e]);
    }
    share_sum(sums(0), part, thread);
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      const int r = row + i * kRowsAtOnce;
      const float scale = int8_scale(lanes_max<kLanesARow>(largest_of(x[i])) * inverse[i]);
      if (inside[i]) {
        store_int8(heads.q + (head * shape.tokens + r) * kHeadWidth + column, x[i],
                   reciprocal(scale) * inverse[i]);
        if (column == 0) heads.q_scales[head * scale_stride(shape.tokens) + r] = scale;
      }
      if (Linear) {
        softmax_row(x[i], inverse[i] * kLog2E);
        if (inside[i]) {
          store_bf16(projections.values + (static_cast<std::uint64_t>(static_cast<unsigned>(r)) * stride +
                                           static_cast<unsigned>(head * kHeadWidth + column)),
                     x[i]);
        }
      }
    }
    // k.
    unsigned char* keys = shared + kKeyTiles + block % 2 * kTileBytes;
    float offset[8];
    load_floats(weight, weights.norm_k + head * kHeadWidth + column);
    load_floats(offset, heads.k_offset + head * kHeadWidth + column);
    copy_wait<1>();
    float largest = 0;
#pragma unroll
    for (int e = 0; e < 8; ++e) part[e] = 0;
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      inverse[i] = inside[i] ? projections.k_inverse[row + i * kRowsAtOnce] : 0.0f;
      turns[i].apply(x[i],
                     *reinterpret_cast<const uint4*>(keys + head_offset(in_tile + i * kRowsAtOnce, chunk)),
                     weight);
      if (!inside[i]) continue;
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        const float smooth = fmaf(x[i][e], inverse[i], -offset[e]);
        part[e] += smooth;
        largest = max_or_nan(largest, fabsf(smooth));
      }
    }
    largest = lanes_max<kWarp>(largest);
    if (thread % kWarp == 0) of_warps[thread / kWarp] = largest;
    const unsigned char* values = shared + kValueTiles + block % 2 * kTileBytes;
    if (E4m3Values) {
      float largest_value = 0;
#pragma unroll
      for (int i = 0; i < kRowsAThread; ++i) {
        float v[8];
        unpack_bf16(v,
                    *reinterpret_cast<const uint4*>(values + head_offset(in_tile + i * kRowsAtOnce, chunk)));
        largest_value = max_or_nan(largest_value, largest_of(v));
      }
      largest_value = lanes_max<kWarp>(largest_value);
      if (thread % kWarp == 0) of_warps[kHeadWarps + thread / kWarp] = largest_value;
    }
    share_sum(sums(1), part, thread);
    // The sums and maxima are here, and all warps have left the stage of k and v that is filled next.
    __syncthreads();
    copy_keys(block + 1, place_of_thread);
    if (thread < kHeadWidth) {
      heads.q_sums[(head * shape.key_blocks() + block) * kHeadWidth + thread] = sum_of_warps(sums(0), thread);
    } else if (thread < 2 * kHeadWidth) {
      const int channel = thread - kHeadWidth;
      const int left = tokens - block * kKeyBlock;
      const auto count = static_cast<float>(left < kKeyBlock ? left : kKeyBlock);
      heads.k_means[(head * kHeadWidth + channel) * shape.key_blocks() + block] =
          sum_of_warps(sums(1), channel) * reciprocal(count);
    }
    if (E4m3Values) {
      const std::int64_t of_head = head * shape.key_blocks() + block;
      const float scale = value_scale(largest_of_warps(of_warps + kHeadWarps));
      if (thread == 0) heads.v_scales[of_head] = scale;
      store_values(heads.v + of_head * (kHeadWidth * kKeyBlock), values, scale, thread / kWarp,
                   thread % kWarp);
    }
    const float scale = int8_scale(largest_of_warps(of_warps));
    if (thread == 0) heads.k_scales[head * shape.key_blocks() + block] = scale;
    const float factor = reciprocal(scale);
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      const int r = row + i * kRowsAtOnce;
      if (inside[i]) {
        float smooth[8];
#pragma unroll
        for (int e = 0; e < 8; ++e) smooth[e] = fmaf(x[i][e], inverse[i], -offset[e]);
        store_int8(heads.k + (head * shape.tokens + r) * kHeadWidth + column, smooth, factor);
      }
      if (Linear) {
        softmax_row(x[i], inverse[i] * kLog2E);
        if (!inside[i]) {
#pragma unroll
          for (float& value : x[i]) value = 0;
        }
        store_bf16(reinterpret_cast<Bf16*>(keys + head_offset(in_tile + i * kRowsAtOnce, chunk)), x[i]);
      }
    }
    // f(k) and v are here, and all warps have left the sums.
    __syncthreads();
    if (Linear) {
      state.add(keys, values, thread / kWarp, thread % kWarp);
    }
  }
  if (Linear) {
    const auto thread = static_cast<int>(threadIdx.x);
    state.store(parts + (static_cast<std::int64_t>(head) * gridDim.y + blockIdx.y) * kPartFloats,
                thread / kWarp, thread % kWarp);
  }
}

}  // namespace

std::int64_t linear_parts(std::int64_t tokens) { return ceil_div(ceil_div(tokens, kKeyBlock), kPartBlocks); }

void prepare_heads(Queue& queue, const HeadShape& shape, const Projections& projections,
                   const HeadWeights& weights, const RotaryAngles& angles, const Heads& heads,
                   const LinearState& state) {
  const auto count = static_cast<unsigned>(shape.heads);
  queue.launch("key_offset", key_offset_kernel, {dim3(count), kHeadThreads, kSumFloats * sizeof(float)},
               shape, projections, weights, angles, heads.k_offset);
  const bool linear = state.parts != nullptr;
  const auto plain = linear ? heads_kernel<true, false> : heads_kernel<false, false>;
  const auto with_values = linear ? heads_kernel<true, true> : heads_kernel<false, true>;
  queue.launch("prepare_heads", heads.v == nullptr ? plain : with_values,
               {dim3(count, static_cast<unsigned>(linear_parts(shape.tokens))), kHeadThreads, kSharedBytes},
               shape, projections, weights, angles, heads, state.parts);
}

}  // namespace turboclip::cuda
