#include "cpu/sla.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace turboclip::cpu {
namespace {

/// Key blocks whose products are summed in float32 before they join the float64 total.
constexpr std::int64_t kBlocksPerChunk = 4;

/// Means of blocks of rows, less `offset`: [ceil(rows / block), width].
std::vector<double> block_means(const HeadRows& x, std::int64_t block, const std::vector<double>& offset) {
  const std::int64_t blocks = ceil_div(x.rows, block);
  std::vector<double> means(static_cast<std::size_t>(blocks * x.width));
  for (std::int64_t b = 0; b < blocks; ++b) {
    double* mean = means.data() + b * x.width;
    const std::int64_t end = std::min(x.rows, (b + 1) * block);
    for (std::int64_t r = b * block; r < end; ++r) {
      for (std::int64_t d = 0; d < x.width; ++d) mean[d] += x.data[r * x.stride + d];
    }
    const auto count = static_cast<double>(end - b * block);
    for (std::int64_t d = 0; d < x.width; ++d) mean[d] = mean[d] / count - offset[d];
  }
  return means;
}

/// f(row): softmax over the width, into out.
void softmax_features(const Kernels& kernels, const float* row, std::int64_t width, float* out) {
  std::copy_n(row, width, out);
  const float total = kernels.exp_row(out, width, 1.0f, kernels.max_row(row, width));
  kernels.scale_row(out, 1.0f / total, width);
}

/// f of one key block's rows, transposed: [width, kKeyBlock], zero past the last row. Their sums join
/// `total`.
void transposed_features(const Kernels& kernels, const HeadRows& k, std::int64_t block,
                         std::vector<float>& features, std::vector<double>& total) {
  std::vector<float> row(static_cast<std::size_t>(k.width));
  const std::int64_t first = block * kKeyBlock;
  const std::int64_t rows = std::min(kKeyBlock, k.rows - first);
  if (rows < kKeyBlock) std::fill(features.begin(), features.end(), 0.0f);
  for (std::int64_t r = 0; r < rows; ++r) {
    softmax_features(kernels, k.data + (first + r) * k.stride, k.width, row.data());
    for (std::int64_t d = 0; d < k.width; ++d) {
      features[d * kKeyBlock + r] = row[d];
      total[d] += row[d];
    }
  }
}

/// out[rows, right's columns] = left[rows, depth] right, or added to it; left and out row-major and dense.
void multiply(const Kernels& kernels, const std::vector<float>& left, std::int64_t depth,
              const TilePanels& right, bool accumulate, std::vector<float>& out) {
  const std::int64_t columns = right.count * kPanel;
  const auto rows = static_cast<std::int64_t>(left.size()) / depth;
  for (std::int64_t r = 0; r < rows; r += kernels.tile_rows) {
    const float* from = left.data() + r * depth;
    kernels.tile({&from, 1, depth, depth}, right, out.data() + r * columns, columns,
                 std::min(kernels.tile_rows, rows - r), accumulate);
  }
}

}  // namespace

BlockMap make_block_map(const HeadRows& q, const HeadRows& k, double ratio) {
  BlockMap map;
  map.query_blocks = ceil_div(q.rows, kQueryBlock);
  map.key_blocks = ceil_div(k.rows, kKeyBlock);
  const auto share = static_cast<std::int64_t>(std::floor(ratio * static_cast<double>(map.key_blocks)));
  map.kept = std::clamp<std::int64_t>(share, 1, map.key_blocks);
  map.lut.resize(static_cast<std::size_t>(map.query_blocks * map.kept));
  const std::vector<double> zero(static_cast<std::size_t>(k.width));
  const std::vector<double> k_mean = block_means(k, k.rows, zero);
  const std::vector<double> q_means = block_means(q, kQueryBlock, zero);
  const std::vector<double> k_means = block_means(k, kKeyBlock, k_mean);
  std::vector<double> scores(static_cast<std::size_t>(map.key_blocks));
  std::vector<std::int32_t> order(static_cast<std::size_t>(map.key_blocks));
  for (std::int64_t i = 0; i < map.query_blocks; ++i) {
    const double* row = q_means.data() + i * q.width;
    for (std::int64_t j = 0; j < map.key_blocks; ++j) {
      scores[j] = std::inner_product(row, row + q.width, k_means.data() + j * k.width, 0.0);
    }
    std::iota(order.begin(), order.end(), 0);
    const auto before = [&](std::int32_t a, std::int32_t b) {
      return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
    };
    std::partial_sort(order.begin(), order.begin() + map.kept, order.end(), before);
    std::sort(order.begin(), order.begin() + map.kept);
    std::copy_n(order.begin(), map.kept, map.lut.begin() + i * map.kept);
  }
  return map;
}

LinearBranch make_linear_branch(const Kernels& kernels, const HeadRows& k, const PackedKeys& keys,
                                const LinearWeights& proj_l) {
  const std::int64_t width = k.width;
  const std::int64_t panels = width / kPanel;
  const auto size = static_cast<std::size_t>(width * width);
  std::vector<double> total(size);
  std::vector<double> feature_total(static_cast<std::size_t>(width));
  std::vector<float> features(static_cast<std::size_t>(width * kKeyBlock));
  std::vector<float> chunk(size);
  for (std::int64_t block = 0; block < keys.blocks(); ++block) {
    transposed_features(kernels, k, block, features, feature_total);
    const TilePanels v{keys.v.data() + block * panels * kKeyBlock * kPanel, panels, kKeyBlock * kPanel};
    multiply(kernels, features, kKeyBlock, v, block % kBlocksPerChunk != 0, chunk);
    if ((block + 1) % kBlocksPerChunk != 0 && block + 1 != keys.blocks()) continue;
    for (std::size_t i = 0; i < size; ++i) total[i] += chunk[i];
  }
  const std::vector<float> summary(total.begin(), total.end());
  multiply(kernels, summary, width, {proj_l.panels.data(), panels, width * kPanel}, false, chunk);
  LinearBranch branch;
  branch.width = width;
  branch.bias = proj_l.bias;
  branch.feature_sum.assign(feature_total.begin(), feature_total.end());
  branch.panels.resize(size);
  for (std::int64_t d = 0; d < width; ++d) {
    for (std::int64_t o = 0; o < width; ++o) {
      branch.panels[(o / kPanel * width + d) * kPanel + o % kPanel] = chunk[d * width + o];
    }
  }
  return branch;
}

void add_linear_branch(const Kernels& kernels, const LinearBranch& branch, const HeadRows& q, float* out,
                       std::int64_t out_stride) {
  const std::int64_t width = branch.width;
  std::vector<float> features(static_cast<std::size_t>(kernels.tile_rows * width));
  std::vector<float> products(features.size());
  const float* left_rows = features.data();
  const TileRows left{&left_rows, 1, width, width};
  for (std::int64_t row = 0; row < q.rows; row += kernels.tile_rows) {
    const std::int64_t rows = std::min(kernels.tile_rows, q.rows - row);
    for (std::int64_t r = 0; r < rows; ++r) {
      softmax_features(kernels, q.data + (row + r) * q.stride, width, features.data() + r * width);
    }
    kernels.tile(left, {branch.panels.data(), width / kPanel, width * kPanel}, products.data(), width, rows,
                 false);
    for (std::int64_t r = 0; r < rows; ++r) {
      const float divisor =
          1e-5f + kernels.dot(features.data() + r * width, branch.feature_sum.data(), width);
      float* sum = out + (row + r) * out_stride;
      kernels.axpy(sum, products.data() + r * width, 1.0f / divisor, width);
      kernels.axpy(sum, branch.bias.data(), 1.0f, width);
    }
  }
}

}  // namespace turboclip::cpu
