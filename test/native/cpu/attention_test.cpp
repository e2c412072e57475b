#include "cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "check.h"
#include "cpu/reference.h"
#include "cpu/sla.h"

namespace turboclip::test {
namespace {

using cpu::HeadRows;
using cpu::Kernels;
using cpu::kKeyBlock;
using cpu::kQueryBlock;

constexpr std::int64_t kWidth = 128;
// Around the edges of key blocks (64) and query blocks (128).
constexpr std::int64_t kLengths[] = {1, 63, 64, 65, 127, 128, 129, 420};

struct Head {
  std::int64_t rows;
  std::vector<float> q, k, v;

  explicit Head(std::int64_t length)
      : rows(length),
        q(random_values(length * kWidth, 1)),
        k(random_values(length * kWidth, 2)),
        v(random_values(length * kWidth, 3)) {
    for (float& value : q) value *= 4;  // weights far from uniform
  }
  HeadRows view(const std::vector<float>& values) const { return {values.data(), rows, kWidth, kWidth}; }
};

/// softmax(q k^T / sqrt(128)) v over the keys that `sees` allows, in float64.
template <class Sees>
std::vector<double> attention(const Head& head, double last_key_bias, const Sees& sees) {
  std::vector<double> out(static_cast<std::size_t>(head.rows * kWidth));
  for (std::int64_t r = 0; r < head.rows; ++r) {
    std::vector<double> weights(static_cast<std::size_t>(head.rows));
    double total = 0;
    for (std::int64_t key = 0; key < head.rows; ++key) {
      if (!sees(r, key)) continue;
      double score = 0;
      for (std::int64_t d = 0; d < kWidth; ++d)
        score += double{head.q[r * kWidth + d]} * double{head.k[key * kWidth + d]};
      weights[key] = std::exp(score / std::sqrt(128.0) + (key + 1 == head.rows ? last_key_bias : 0));
      total += weights[key];
    }
    for (std::int64_t key = 0; key < head.rows; ++key) {
      for (std::int64_t d = 0; d < kWidth; ++d)
        out[r * kWidth + d] += weights[key] / total * head.v[key * kWidth + d];
    }
  }
  return out;
}

/// weight: [kWidth, kWidth] row-major; bias: [kWidth].
struct ProjL {
  std::vector<float> weight;
  std::vector<float> bias;
};

/// The linear branch with proj_l, from its definition.
std::vector<double> linear_branch(const Head& head, const ProjL& proj) {
  const auto features = [](const float* row) {
    std::vector<double> f(kWidth);
    double total = 0;
    for (std::int64_t d = 0; d < kWidth; ++d) total += f[d] = std::exp(double{row[d]});
    for (double& value : f) value /= total;
    return f;
  };
  std::vector<double> kv(kWidth * kWidth);
  std::vector<double> sum(kWidth);
  for (std::int64_t r = 0; r < head.rows; ++r) {
    const auto f = features(head.k.data() + r * kWidth);
    for (std::int64_t d = 0; d < kWidth; ++d) {
      sum[d] += f[d];
      for (std::int64_t e = 0; e < kWidth; ++e) kv[d * kWidth + e] += f[d] * head.v[r * kWidth + e];
    }
  }
  std::vector<double> out;
  for (std::int64_t r = 0; r < head.rows; ++r) {
    const auto f = features(head.q.data() + r * kWidth);
    std::vector<double> o(kWidth);
    double divisor = 1e-5;
    for (std::int64_t d = 0; d < kWidth; ++d) {
      divisor += f[d] * sum[d];
      for (std::int64_t e = 0; e < kWidth; ++e) o[e] += f[d] * kv[d * kWidth + e];
    }
    for (std::int64_t i = 0; i < kWidth; ++i) {
      double projected = proj.bias[i];
      for (std::int64_t e = 0; e < kWidth; ++e) projected += o[e] / divisor * proj.weight[i * kWidth + e];
      out.push_back(projected);
    }
  }
  return out;
}

cpu::AttentionBlock queries(const Head& head, std::int64_t block, std::vector<float>& out) {
  cpu::AttentionBlock queries;
  queries.q = head.q.data() + block * kQueryBlock * kWidth;
  queries.q_stride = kWidth;
  queries.rows = std::min(kQueryBlock, head.rows - block * kQueryBlock);
  queries.scale = 1 / std::sqrt(128.0f);
  queries.out = out.data() + block * kQueryBlock * kWidth;
  queries.out_stride = kWidth;
  return queries;
}

TEST("attention equals its definition at every length around a block, with every kernel set") {
  for (const Kernels* kernels : all_kernels()) {
    for (const std::int64_t length : kLengths) {
      const Head head(length);
      const auto keys = cpu::pack_keys(head.view(head.k), head.view(head.v));
      std::vector<float> out(head.q.size());
      for (std::int64_t b = 0; b < cpu::ceil_div(length, kQueryBlock); ++b)
        attend(*kernels, keys, queries(head, b, out));
      CHECK(relative_error(out, attention(head, 0, [](auto, auto) { return true; })) < 3e-6);
    }
  }
}

TEST("a last key with bias log(n) counts n times") {
  const Head head(65);
  const auto keys = cpu::pack_keys(head.view(head.k), head.view(head.v));
  std::vector<float> out(head.q.size());
  cpu::AttentionBlock block = queries(head, 0, out);
  block.last_key_bias = std::log(447.0f);
  attend(cpu::best_kernels(), keys, block);
  CHECK(relative_error(out, attention(head, std::log(447.0), [](auto, auto) { return true; })) < 3e-6);
}

TEST("sparse attention looks at the kept key blocks and at nothing else") {
  for (const std::int64_t length : kLengths) {
    const Head head(length);
    const auto map = cpu::make_block_map(head.view(head.q), head.view(head.k), 0.3);
    const auto keys = cpu::pack_keys(head.view(head.k), head.view(head.v));
    std::vector<float> out(head.q.size());
    for (std::int64_t b = 0; b < map.query_blocks; ++b) {
      cpu::AttentionBlock block = queries(head, b, out);
      block.key_blocks = map.row(b);
      attend(cpu::best_kernels(), keys, block);
    }
    const auto sees = [&](std::int64_t query, std::int64_t key) {
      const auto row = map.row(query / kQueryBlock);
      return std::find(row.begin(), row.end(), key / kKeyBlock) != row.end();
    };
    CHECK(relative_error(out, attention(head, 0, sees)) < 3e-6);
  }
}

TEST("sparse attention that keeps all key blocks gives the bytes of dense attention") {
  for (const std::int64_t length : kLengths) {
    const Head head(length);
    const auto map = cpu::make_block_map(head.view(head.q), head.view(head.k), 1.0);
    const auto keys = cpu::pack_keys(head.view(head.k), head.view(head.v));
    std::vector<float> sparse(head.q.size());
    std::vector<float> dense(head.q.size());
    for (std::int64_t b = 0; b < map.query_blocks; ++b) {
      attend(cpu::best_kernels(), keys, queries(head, b, dense));
      cpu::AttentionBlock block = queries(head, b, sparse);
      block.key_blocks = map.row(b);
      attend(cpu::best_kernels(), keys, block);
    }
    CHECK(sparse == dense);
  }
}

TEST("the block map keeps floor(ratio * blocks), at least one and at most all, ascending") {
  for (const std::int64_t length : kLengths) {
    const Head head(length);
    for (const double ratio : {1e-9, 0.1, 0.3, 0.5, 1.0}) {
      const auto map = cpu::make_block_map(head.view(head.q), head.view(head.k), ratio);
      const std::int64_t blocks = cpu::ceil_div(length, kKeyBlock);
      CHECK_EQUAL(map.kept,
                  std::max<std::int64_t>(1, static_cast<std::int64_t>(ratio * static_cast<double>(blocks))));
      for (std::int64_t q = 0; q < map.query_blocks; ++q) {
        const auto row = map.row(q);
        CHECK(std::is_sorted(row.begin(), row.end()));
        CHECK(row.front() >= 0 && row.back() < blocks);
        CHECK(std::adjacent_find(row.begin(), row.end()) == row.end());
      }
    }
  }
}

TEST("among key blocks that tie, the block map keeps the lowest indices") {
  Head head(5 * kKeyBlock);
  std::fill(head.k.begin(), head.k.end(), 0.5f);
  const auto map = cpu::make_block_map(head.view(head.q), head.view(head.k), 0.4);
  CHECK_EQUAL(map.kept, 2);
  for (std::int64_t q = 0; q < map.query_blocks; ++q) CHECK(map.row(q)[0] == 0 && map.row(q)[1] == 1);
}

TEST("the linear branch with proj_l folded in equals its definition at every length") {
  const ProjL proj{random_values(kWidth * kWidth, 4), random_values(kWidth, 5)};
  const cpu::LinearWeights packed = cpu::pack_linear(proj.weight.data(), kWidth, kWidth, proj.bias);
  for (const Kernels* kernels : all_kernels()) {
    for (const std::int64_t length : kLengths) {
      const Head head(length);
      const cpu::PackedKeys keys = cpu::pack_keys(head.view(head.k), head.view(head.v));
      const auto branch = cpu::make_linear_branch(*kernels, head.view(head.k), keys, packed);
      std::vector<float> out(head.q.size());
      cpu::add_linear_branch(*kernels, branch, head.view(head.q), out.data(), kWidth);
      CHECK(relative_error(out, linear_branch(head, proj)) < 1e-5);
    }
  }
}

}  // namespace
}  // namespace turboclip::test
