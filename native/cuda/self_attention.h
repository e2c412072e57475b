// Sparse-linear self-attention (SLA, https://arxiv.org/abs/2509.24006) in its stages, and dense attention as
// the same without a map. Each stage is a file of its own.
#pragma once

#include <cstdint>

#include "cuda/gemm_tiles.h"
#include "cuda/numbers.h"
#include "cuda/queue.h"

namespace turboclip::cuda {

inline constexpr int kQueryBlock = 128;
inline constexpr int kKeyBlock = 64;

/// Sizes of one clip's self-attention.
struct HeadShape {
  std::int64_t heads;
  std::int64_t tokens;                 // L = frames * height * width
  std::int64_t frames, height, width;  // of the grid of tokens

  __host__ __device__ std::int64_t channels() const { return heads * kHeadWidth; }
  __host__ __device__ std::int64_t query_blocks() const { return ceil_div(tokens, kQueryBlock); }
  __host__ __device__ std::int64_t key_blocks() const { return ceil_div(tokens, kKeyBlock); }
};

/// q, k and v side by side, [L, 3 C] bfloat16, as one linear layer leaves them.
struct Projections {
  Bf16* values;
  const float* q_inverse;  // [L], 1 / rms of whole rows
  const float* k_inverse;  // [L]
};

/// Rotary angles by axis, each with its own frequencies: cosine and sine for position p and pair i at
/// [p][i]: time [frames][22], then height [height][21] and width [width][21] from these places on.
inline constexpr int kTimePairs = 22;
inline constexpr int kSpacePairs = 21;
struct RotaryAngles {
  const float2* table;
  int height;
  int width;
};

struct HeadWeights {
  const float* norm_q;  // [C]
  const float* norm_k;  // [C]
};

/// The largest value of a key block in e4m3, whose weights reach kMostE4m3: sums of its 64 products stay
/// within 64 * 448 * 2.25 = 64,512, which a half holds.
inline constexpr float kMostValue = 2.25f;

/// What attention reads of q and k, by head. k is less an offset of its head, which leaves the softmax
/// unchanged; any vector near its mean will do.
struct Heads {
  float* k_offset;  // [H][128]
  std::int8_t* q;   // [H][L][128]
  float* q_scales;  // [H][scale_stride(L)]
  std::int8_t* k;   // [H][L][128]
  float* k_scales;  // [H][key blocks]
  float* q_sums;    // [H][key blocks][128]: sums over 64 rows; two make a query block
  float* k_means;   // [H][128][key blocks]
  // For AttentionTiles::e4m3; else nullptr, and v is read where the projections are.
  E4m3* v;          // [H][key blocks][128][64]: place 4 i + e of 16 keys has 2 i + e % 2 + e / 2 * 8
  float* v_scales;  // [H][key blocks]
};

/// The linear branch's state with proj_l folded in: o = f(q) M / (1e-5 + f(q) . s) + bias, with f the softmax
/// over a head's 128 channels, M = (f(k)^T v) proj_l^T and s = sum f(k).
inline constexpr int kPartFloats = kHeadWidth * kHeadWidth + kHeadWidth;
struct LinearState {
  float* parts;  // [H][linear_parts(L)][kPartFloats]: of ranges of rows, f(k)^T v [128][128] and sum f(k)
  Bf16* matrix;  // [H][128 outputs][128 features]: M transposed
  float* sums;   // [H][128]
};
/// Ranges of rows that are summed apart from one another.
std::int64_t linear_parts(std::int64_t tokens);

/// RMS norm, rotary embedding, INT8, block sums; v in e4m3 if `heads` has room for it. With a linear branch
/// (parts is not nullptr), also its state's parts, and q inside `projections` becomes f(q).
void prepare_heads(Queue& queue, const HeadShape& shape, const Projections& projections,
                   const HeadWeights& weights, const RotaryAngles& angles, const Heads& heads,
                   const LinearState& state);

/// From the state's parts to its matrix and sums.
void fold_linear_state(Queue& queue, const HeadShape& shape, const float* proj_l, const LinearState& state);

/// Kept key blocks, ascending: lut [H][query blocks][kept].
void block_map(Queue& queue, const HeadShape& shape, const Heads& heads, std::int64_t kept,
               std::int32_t* lut);

/// Softmax attention over the kept key blocks (all, if lut is nullptr), plus the linear branch (if matrix is
/// not), quantised for `o`: y [L, C] INT8, scales [H][scale_stride(L)].
struct Sparse {
  const std::int32_t* lut;
  std::int64_t kept;
  const Bf16* matrix;
  const float* sums;
  const float* bias;  // [128], of proj_l
};
void sparse_attention(Queue& queue, const HeadShape& shape, const Projections& projections,
                      const Heads& heads, const Sparse& sparse, std::int8_t* y, float* y_scales,
                      ChosenAttention tiles = {});

}  // namespace turboclip::cuda
