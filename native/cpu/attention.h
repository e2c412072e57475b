// Softmax attention of one head, streamed over blocks of keys so that no [queries, keys] matrix exists
// (the online softmax of FlashAttention, https://arxiv.org/abs/2205.14135).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cpu/context.h"
#include "engine/backend.h"

namespace turboclip::cpu {

inline constexpr std::int64_t kQueryBlock = 128;
inline constexpr std::int64_t kKeyBlock = 64;

/// Rows of one head inside a row-major activation: row r begins at data + r * stride and has `width` values.
struct HeadRows {
  const float* data;
  std::int64_t rows;
  std::int64_t stride;
  std::int64_t width;
};

/// Keys and values of one head, packed for the tile kernel. A last short block is padded with zeros.
struct PackedKeys {
  std::int64_t keys = 0;
  std::int64_t width = 0;
  std::vector<float> k;  // [blocks][kKeyBlock / kPanel][width][kPanel]: columns are keys
  std::vector<float> v;  // [blocks][ceil(width / kPanel)][kKeyBlock][kPanel]: columns are channels

  std::int64_t blocks() const { return ceil_div(keys, kKeyBlock); }
};

PackedKeys pack_keys(const HeadRows& k, const HeadRows& v);

/// How one block of queries looks at the keys.
struct AttentionBlock {
  const float* q = nullptr;  // [rows, width], row stride q_stride
  std::int64_t q_stride = 0;
  std::int64_t rows = 0;  // at most kQueryBlock
  float scale = 1;        // above 0
  /// Key blocks to look at, ascending; empty means all.
  std::span<const std::int32_t> key_blocks;
  /// Added to the scaled score of the last key; log(n) makes it count n times.
  float last_key_bias = 0;
  float* out = nullptr;  // [rows, width], row stride out_stride
  std::int64_t out_stride = 0;
};

/// out = softmax(q k^T * scale + bias) v over the chosen keys.
void attend(const Kernels& kernels, const PackedKeys& keys, const AttentionBlock& block);

}  // namespace turboclip::cpu
