// Sparse-linear attention (SLA, https://arxiv.org/abs/2509.24006) of one head: which key blocks each query
// block keeps, and the linear branch over all rows. The sparse branch is attend() over the kept blocks.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/attention.h"
#include "cpu/context.h"
#include "cpu/linear.h"

namespace turboclip::cpu {

/// Kept key blocks by query block, ascending: [query blocks, kept].
struct BlockMap {
  std::int64_t query_blocks = 0;
  std::int64_t key_blocks = 0;
  std::int64_t kept = 0;  // max(1, floor(ratio * key_blocks))
  std::vector<std::int32_t> lut;

  std::span<const std::int32_t> row(std::int64_t query_block) const {
    return {lut.data() + query_block * kept, static_cast<std::size_t>(kept)};
  }
};

/// Ranks key blocks by the product of block means, of q and of k less its mean over all rows, in float64; the
/// lowest index wins a tie.
BlockMap make_block_map(const HeadRows& q, const HeadRows& k, double ratio);

/// The linear branch's state over all keys, with proj_l folded in: o = f(q) M / (1e-5 + f(q) . s) + bias,
/// where M = (f(k)^T v) proj_l^T, s = sum f(k), f = softmax over the head's width.
struct LinearBranch {
  std::int64_t width = 0;
  AlignedVector panels;            // M in panels: [width / kPanel][width][kPanel]
  std::vector<float> feature_sum;  // s
  std::vector<float> bias;
};

/// keys: k packed with its v. proj_l: [width, width], shared by the heads of a layer.
LinearBranch make_linear_branch(const Kernels& kernels, const HeadRows& k, const PackedKeys& keys,
                                const LinearWeights& proj_l);

/// out[r] += the linear branch of q[r], for rows queries.
void add_linear_branch(const Kernels& kernels, const LinearBranch& branch, const HeadRows& q, float* out,
                       std::int64_t out_stride);

}  // namespace turboclip::cpu
