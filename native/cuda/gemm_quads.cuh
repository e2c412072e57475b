// The end of a tile of the W8A8 product for warps that go on to the next tile by themselves: bias, what the
// epilogue makes of the sums, and the way from mma's fragments to 16 bytes a lane among the four lanes that
// hold a row. All of shared memory is left to the next tile's operands but a word a row, by which the two
// warps that share a row tell each other its statistic.
#pragma once

#include "cuda/async.cuh"
#include "cuda/gemm_tile.cuh"

namespace turboclip::cuda {

/// Word p of lane q becomes word q of lane p, among the four lanes of a quad.
__device__ __forceinline__ void transpose_quad(std::uint32_t (&words)[4], int lane) {
#pragma unroll
  for (int bit = 1; bit < 4; bit *= 2) {
    const bool upper = (lane & bit) != 0;
#pragma unroll
    for (int low = 0; low < 4; ++low) {
      if ((low & bit) != 0) continue;
      std::uint32_t& a = words[low];
      std::uint32_t& b = words[low | bit];
      const std::uint32_t other = __shfl_xor_sync(kAllLanes, upper ? a : b, bit);
      if (upper) {
        a = other;
      } else {
        b = other;
      }
    }
  }
}

/// Values of a lane's columns in `Tiles` tiles of eight.
template <int Tiles>
struct LaneColumns {
  float2 values[Tiles];

  /// of_columns: of the product's column 0.
  __device__ __forceinline__ LaneColumns(const float* of_columns, const TilePlace& place, unsigned thread,
                                         int first_tile) {
    const float* first = of_columns + place.column + warp_column(thread) + thread % 4 * 2;
#pragma unroll
    for (int j = 0; j < Tiles; ++j) {
      values[j] = *reinterpret_cast<const float2*>(first + 8 * (first_tile + j));
    }
  }
  __device__ __forceinline__ float at(int j, int e) const { return e % 2 == 0 ? values[j].x : values[j].y; }
};
/// A warp's share of a tile, as it goes from sums to what is stored.
template <class Epilogue>
struct TileEnd {
  static constexpr int kRowTiles = kWarpRows / 16;
  static constexpr int kTiles = kWarpColumns / 8;
  static constexpr RowStatistic kStatistic = Epilogue::kStatistic;
  static constexpr bool kInt8 = sizeof(typename Epilogue::Output) == 1;
  static constexpr int kPieces = kInt8 ? 1 : 2;  // of 16 bytes a lane, for a row of the warp's
  static constexpr int kPieceColumns = kWarpColumns / kPieces;
  static constexpr int kEights = 2 * kRowTiles;  // eight rows at a time, a row a quad
  static constexpr int kAhead = 3;               // eights of which what is added to is fetched ahead
  using Sums = float[kRowTiles][kTiles][4];      // [rows / 16][columns / 8][fragment]

  const Epilogue& epilogue;
  TilePlace place;
  int rows;  // of the product: those from here on are left out
  std::int64_t width;
  unsigned thread, own_row;
  int lane, own_column;

  __device__ __forceinline__ TileEnd(const Epilogue& of, const TilePlace& at, std::int64_t all_rows,
                                     std::int64_t out, unsigned of_thread)
      : epilogue(of),
        place(at),
        rows(static_cast<int>(all_rows)),
        width(out),
        thread(of_thread),
        own_row(warp_row(of_thread)),
        lane(static_cast<int>(thread % kWarp)),
        own_column(static_cast<int>(warp_column(thread))) {}

  /// bias: of the product's column 0; parts: a word for each of the tile's rows.
  __device__ __forceinline__ void finish(Sums& sums, const float* bias, float* parts) {
    uint4 before[kAhead][kPieces];
    if constexpr (Epilogue::kAdds) {
#pragma unroll
      for (int e = 0; e < kAhead; ++e) fetch(before[e], e);
    }
    add_bias(sums, bias);
    float factor[kEights] = {};
    if constexpr (kStatistic != RowStatistic::none) join_rows(factor, sums, parts);
#pragma unroll
    for (int e = 0; e < kEights; ++e) {
      const float(&eight)[kTiles][4] = sums[e / 2];
      forget(own_row);  // or addresses would wait in registers for the stores
      uint4 out[kPieces];
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) {
        if constexpr (kInt8) {
          out[piece] = bytes_of(eight, e % 2, factor[e]);
        } else if constexpr (Epilogue::kAdds) {
          out[piece] = added(before[e % kAhead][piece], eight, e % 2, piece);
        } else {
          out[piece] = bf16_of(eight, e % 2, piece);
        }
      }
      if constexpr (Epilogue::kAdds) {
        if (e + kAhead < kEights) fetch(before[e % kAhead], e + kAhead);
      }
      if (row(e) >= rows) continue;
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece)
        *reinterpret_cast<uint4*>(piece_at(e, piece)) = out[piece];
    }
  }

 private:
  __device__ __forceinline__ int tile_row(int e) const {
    return static_cast<int>(own_row) + 8 * e + lane / 4;
  }
  __device__ __forceinline__ int row(int e) const { return place.row + tile_row(e); }
  __device__ __forceinline__ typename Epilogue::Output* piece_at(int e, int piece) const {
    return epilogue.output() + row(e) * width + place.column + own_column + piece * kPieceColumns +
           lane % 4 * (kPieceColumns / 4);
  }
  __device__ __forceinline__ void fetch(uint4 (&before)[kPieces], int e) const {
    if (row(e) >= rows) return;
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
      before[piece] = *reinterpret_cast<const uint4*>(piece_at(e, piece));
    }
  }

  __device__ __forceinline__ void add_bias(Sums& sums, const float* of_bias) const {
    const float* of_gate = epilogue.gate_of_columns();
    const LaneColumns<kTiles> bias(of_bias, place, thread, 0);
    constexpr int kPart = kTiles / 2;  // gates of all would be too many registers
#pragma unroll
    for (int first = 0; first < kTiles; first += kPart) {
      const auto values = [&](const auto& gate) {
#pragma unroll
        for (int j = first; j < first + kPart; ++j) {
#pragma unroll
          for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              sums[i][j][e] = epilogue.value(sums[i][j][e] + bias.at(j, e), gate(j - first, e));
            }
          }
        }
      };
      if (of_gate == nullptr) {
        values([](int, int) { return 1.0f; });
      } else {
        const LaneColumns<kPart> gate(of_gate, place, thread, first);
        values([&](int j, int e) { return gate.at(j, e); });
      }
    }
  }

  /// The right warp of the two that share rows gives the left its part of each statistic; the left joins
  /// them, as the other kernels do left to right, and gives back what the right one's results depend on.
  __device__ __forceinline__ void join_rows(float (&factor)[kEights], const Sums& sums, float* parts) const {
    static_assert(kWarpsAcross == 2);
    const int barrier = 1 + static_cast<int>(own_row) / kWarpRows;
    const auto meet = [&] { async::meet(barrier, kWarpsAcross * kWarp); };
    const bool left = own_column == 0;
    const bool first = lane % 4 == 0;
#pragma unroll
    for (int e = 0; e < kEights; ++e) {
      factor[e] = row_statistic<kStatistic>(sums[e / 2], e % 2);
      if (!left && first) parts[tile_row(e)] = factor[e];
    }
    meet();
    if (left) {
#pragma unroll
      for (int e = 0; e < kEights; ++e) {
        float& part = parts[tile_row(e)];
        factor[e] = join<kStatistic>(factor[e], part);
        __syncwarp();  // before the first lane of a quad overwrites what the others read
        if (!first) continue;
        if (kStatistic == RowStatistic::largest) part = factor[e];
        if (row(e) < rows) epilogue.row_done(row(e), place.column, factor[e]);
      }
    }
    meet();
    if constexpr (kStatistic == RowStatistic::largest) {
#pragma unroll
      for (int e = 0; e < kEights; ++e) {
        if (!left) factor[e] = parts[tile_row(e)];
        factor[e] = epilogue.factor(factor[e]);
      }
    }
  }

  /// A row's 64 columns of int8, 16 to a lane.
  __device__ __forceinline__ uint4 bytes_of(const float (&sums)[kTiles][4], int half, float factor) const {
    std::uint32_t words[4];
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      const float* a = sums[2 * m] + 2 * half;
      const float* b = sums[2 * m + 1] + 2 * half;
      words[m] = epilogue.pair(a[0], a[1], factor) |
                 static_cast<std::uint32_t>(epilogue.pair(b[0], b[1], factor)) << 16;
    }
    transpose_quad(words, lane);
    return make_uint4(__byte_perm(words[0], words[1], 0x5410), __byte_perm(words[2], words[3], 0x5410),
                      __byte_perm(words[0], words[1], 0x7632), __byte_perm(words[2], words[3], 0x7632));
  }
  /// 32 columns of bfloat16, 8 to a lane.
  __device__ __forceinline__ uint4 bf16_of(const float (&sums)[kTiles][4], int half, int piece) const {
    std::uint32_t words[4];
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      const float* a = sums[4 * piece + m] + 2 * half;
      words[m] = epilogue.pair(a[0], a[1], 0);
    }
    transpose_quad(words, lane);
    return make_uint4(words[0], words[1], words[2], words[3]);
  }
  /// The same, added as float32 to what was there.
  __device__ __forceinline__ uint4 added(const uint4& before, const float (&sums)[kTiles][4], int half,
                                         int piece) const {
    std::uint32_t even[4];
    std::uint32_t odd[4];
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      even[m] = __float_as_uint(sums[4 * piece + m][2 * half]);
      odd[m] = __float_as_uint(sums[4 * piece + m][2 * half + 1]);
    }
    transpose_quad(even, lane);
    transpose_quad(odd, lane);
    float all[8];
    unpack_bf16(all, before);
    std::uint32_t words[4];
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      words[p] = pack_bf16(all[2 * p] + __uint_as_float(even[p]), all[2 * p + 1] + __uint_as_float(odd[p]));
    }
    return make_uint4(words[0], words[1], words[2], words[3]);
  }
};

}  // namespace turboclip::cuda
