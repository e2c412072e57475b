// The end of a tile of the portable W8A8 product: bias, what the epilogue makes of the sums, and the way
// through shared memory from mma's fragments to 16 bytes a lane.
#pragma once

#include "cuda/gemm_tile.cuh"

namespace turboclip::cuda {

/// Sixteen rows by the warp's 64 columns in shared memory. The padding keeps rows off one another's banks.
template <class Epilogue>
struct Slab {
  using Pair = typename Epilogue::Pair;
  static constexpr int kPairBytes = sizeof(Pair);
  static constexpr bool kFloats = kPairBytes == 8;
  static constexpr int kStride = kWarpColumns / 2 * kPairBytes + (kFloats ? 32 : 16);
  static constexpr int kBytes = 16 * kStride;
  static constexpr int kPieces = kFloats ? 2 : 1;                 // of 16 bytes, that a lane reads of a row
  static constexpr int kLaneColumns = 32 * kPieces / kPairBytes;  // 16 of int8, else 8
  static constexpr int kLanes = kWarpColumns / kLaneColumns;      // to a row
  static constexpr int kRows = kWarp / kLanes;                    // at once
  static constexpr int kTurns = 16 / kRows;

  /// values: [columns / 8][fragment]; factor: of rows lane / 4 and 8 more.
  static __device__ __forceinline__ void put(unsigned char* slab, const float (&values)[kWarpColumns / 8][4],
                                             const Epilogue& epilogue, const float (&factor)[2], int lane) {
#pragma unroll
    for (int j = 0; j < kWarpColumns / 8; ++j) {
      // The upper half's neighbouring pieces change places, or four lanes would meet four others' banks in
      // `get`.
      const int place = kFloats && j >= kWarpColumns / 16 ? lane % 4 ^ 2 : lane % 4;
      unsigned char* at = slab + lane / 4 * kStride + (4 * j + place) * kPairBytes;
      *reinterpret_cast<Pair*>(at) = epilogue.pair(values[j][0], values[j][1], factor[0]);
      *reinterpret_cast<Pair*>(at + 8 * kStride) = epilogue.pair(values[j][2], values[j][3], factor[1]);
    }
  }
  /// A lane's row in a turn, and its first column.
  static __device__ __forceinline__ int row(int turn, int lane) { return turn * kRows + lane / kLanes; }
  static __device__ __forceinline__ int column(int lane) { return lane % kLanes * kLaneColumns; }
  static __device__ __forceinline__ void get(uint4 (&out)[kPieces], const unsigned char* slab, int turn,
                                             int lane) {
    const unsigned char* at = slab + row(turn, lane) * kStride;
    const int l = lane % kLanes;
    if constexpr (kFloats) {
      const int swapped = l / (kLanes / 2);
      out[0] = *reinterpret_cast<const uint4*>(at + 16 * (2 * l + swapped));
      out[1] = *reinterpret_cast<const uint4*>(at + 16 * (2 * l + 1 - swapped));
    } else {
      out[0] = *reinterpret_cast<const uint4*>(at + 16 * l);
    }
  }
};

/// Eight float32 values in two pieces, added to the eight bfloat16 values `before`.
__device__ __forceinline__ uint4 add_pieces(const uint4 (&pieces)[2], const uint4& before) {
  float sum[8];
  unpack_bf16(sum, before);
  const std::uint32_t words[8] = {pieces[0].x, pieces[0].y, pieces[0].z, pieces[0].w,
                                  pieces[1].x, pieces[1].y, pieces[1].z, pieces[1].w};
#pragma unroll
  for (int i = 0; i < 8; ++i) sum[i] += __uint_as_float(words[i]);
  return make_uint4(pack_bf16(sum[0], sum[1]), pack_bf16(sum[2], sum[3]), pack_bf16(sum[4], sum[5]),
                    pack_bf16(sum[6], sum[7]));
}

/// Stores a warp's share of a tile: sums [rows / 16][columns / 8][fragment]; bias: of the tile's columns;
/// shared: what the stages had. Rows from `rows` on are left out.
template <class Epilogue, int RowTiles>
__device__ __forceinline__ void finish_tile(float (&sums)[RowTiles][kWarpColumns / 8][4],
                                            const TilePlace& place, int rows, std::int64_t width,
                                            const float* bias, const Epilogue& epilogue,
                                            unsigned char* shared, unsigned thread) {
  constexpr RowStatistic kStatistic = Epilogue::kStatistic;
  using Out = Slab<Epilogue>;
  constexpr int kSlabs = 2 * Out::kBytes;  // one is filled while the other is read
  constexpr int kParts = kSlabs * (kGemmThreads / kWarp);
  static_assert(kParts + kWarpsAcross * kGemmRows * static_cast<int>(sizeof(float)) <=
                kGemmStages * kStageBytes);
  const int lane = static_cast<int>(thread % kWarp);
  const int quad = lane / 4;
  const int own_row = static_cast<int>(warp_row(thread));
  const int own_column = static_cast<int>(warp_column(thread));
  typename Epilogue::Output* output = epilogue.output() + place.column + own_column + Out::column(lane);
  const auto row_of = [&](int i, int turn) { return place.row + own_row + 16 * i + Out::row(turn, lane); };

  uint4 before[RowTiles][Out::kTurns];
  if constexpr (Epilogue::kAdds) {
#pragma unroll
    for (int i = 0; i < RowTiles; ++i) {
#pragma unroll
      for (int turn = 0; turn < Out::kTurns; ++turn) {
        const int r = row_of(i, turn);
        if (r < rows) before[i][turn] = *reinterpret_cast<const uint4*>(output + r * width);
      }
    }
  }
  const float* gate_of_columns = epilogue.gate_of_columns();
#pragma unroll
  for (int j = 0; j < kWarpColumns / 8; ++j) {
    const int c = own_column + 8 * j + lane % 4 * 2;
    const float2 two = *reinterpret_cast<const float2*>(bias + c);
    float2 gate = make_float2(1, 1);
    if (gate_of_columns != nullptr)
      gate = *reinterpret_cast<const float2*>(gate_of_columns + place.column + c);
#pragma unroll
    for (int i = 0; i < RowTiles; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        float& sum = sums[i][j][e];
        sum = epilogue.value(sum + (e % 2 == 0 ? two.x : two.y), e % 2 == 0 ? gate.x : gate.y);
      }
    }
  }
  auto* parts = reinterpret_cast<float*>(shared + kParts);
  if constexpr (kStatistic != RowStatistic::none) {
#pragma unroll
    for (int i = 0; i < RowTiles; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float part = row_statistic<kStatistic>(sums[i], half);
        if (lane % 4 == 0)
          parts[own_column / kWarpColumns * kGemmRows + own_row + 16 * i + 8 * half + quad] = part;
      }
    }
    __syncthreads();
    const int r = static_cast<int>(thread);
    if (r < kGemmRows && place.row + r < rows) {
      epilogue.row_done(place.row + r, place.column, join<kStatistic>(parts[r], parts[kGemmRows + r]));
    }
  }
  unsigned char* slabs = shared + kSlabs * (thread / kWarp);
  const auto put = [&](int i) {
    float factor[2] = {0, 0};
    if constexpr (kStatistic == RowStatistic::largest) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* part = parts + own_row + 16 * i + 8 * half + quad;
        factor[half] = epilogue.factor(join<kStatistic>(part[0], part[kGemmRows]));
      }
    }
    Out::put(slabs + i % 2 * Out::kBytes, sums[i], epilogue, factor, lane);
  };
  put(0);
#pragma unroll
  for (int i = 0; i < RowTiles; ++i) {
    __syncwarp();
    uint4 pieces[Out::kTurns][Out::kPieces];
#pragma unroll
    for (int turn = 0; turn < Out::kTurns; ++turn) {
      Out::get(pieces[turn], slabs + i % 2 * Out::kBytes, turn, lane);
    }
    if (i + 1 < RowTiles) put(i + 1);
#pragma unroll
    for (int turn = 0; turn < Out::kTurns; ++turn) {
      uint4 out = pieces[turn][0];
      if constexpr (Epilogue::kAdds) out = add_pieces(pieces[turn], before[i][turn]);
      const int r = row_of(i, turn);
      if (r < rows) *reinterpret_cast<uint4*>(output + r * width) = out;
    }
  }
}

}  // namespace turboclip::cuda
