// Linear layers over the rows of a prompt, without bias: y = x W^T. For so few rows what counts is that every
// byte of W is read once, at the rate of the card's memory, by all multiprocessors alike.
#pragma once

#include <cstdint>

#include "cuda/gemm_w8a8.h"
#include "cuda/norm.h"
#include "cuda/partial_sums.h"

namespace turboclip::cuda {

/// Rows of W that a warp multiplies, and bytes of each of a block of K.
inline constexpr int kStripRows = 32;
inline constexpr int kDepthBytes = 128;

/// W [out, in] in the order in which a warp reads it: [out / 32][bytes of a row / 128], and in each of these
/// 4096 bytes the left operands of mma, lane by lane: [2 x 16 rows][4 x 32 bytes][32 lanes][16 bytes]. out is
/// a multiple of 32 and in of 128.
struct PackedWeight {
  const unsigned char* values;
  const float* scales;  // INT8: [out / 128, in / 128], out a multiple of 128; bfloat16: nullptr
  std::int64_t out;
  std::int64_t in;
};

/// Packs `rows` rows of `row_bytes` bytes; a layer of several matrices is packed one after the other.
void pack_weight(Queue& queue, const void* matrix, std::int64_t rows, std::int64_t row_bytes,
                 unsigned char* packed);

/// INT8 of a bfloat16 matrix [rows, columns], multiples of 128, as quantize_int8_blocks() makes it on the
/// host: values [rows, columns], scales [rows / 128, columns / 128].
void quantize_weight(Queue& queue, const Bf16* matrix, std::int64_t rows, std::int64_t columns,
                     std::int8_t* values, float* scales);

/// How the product of a matrix [out, in] with so many rows is divided on this device.
Shares few_rows_shares(const Device& device, std::int64_t rows, std::int64_t out, std::int64_t in, bool int8);

/// sums: room for most_parts() of the shares times rows times out. Returns what add_sums() reads.
PartialSums multiply_few_rows(Queue& queue, const Bf16Rows& x, const PackedWeight& weight, float* sums);
PartialSums multiply_few_rows(Queue& queue, const Int8Rows& x, const PackedWeight& weight, float* sums);

}  // namespace turboclip::cuda
