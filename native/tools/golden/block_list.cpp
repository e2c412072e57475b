#include "tools/golden/block_list.h"

#include <algorithm>

namespace turboclip::golden {
namespace {

constexpr std::int64_t kQueryBlock = 128;
constexpr std::int64_t kKeyBlock = 64;

/// Mean of rows [first, first + size) of one head, or of as many as there are.
std::vector<double> mean_rows(const Tensor& rows, std::int64_t head, std::int64_t first, std::int64_t size) {
  const std::int64_t tokens = rows.size(1);
  const std::int64_t width = rows.size(2);
  const std::int64_t last = std::min(first + size, tokens);
  std::vector<double> mean(static_cast<std::size_t>(width));
  for (std::int64_t row = first; row < last; ++row) {
    const float* values = rows.data() + (head * tokens + row) * width;
    for (std::int64_t i = 0; i < width; ++i)
      mean[static_cast<std::size_t>(i)] += static_cast<double>(values[i]);
  }
  for (double& value : mean) value /= static_cast<double>(last - first);
  return mean;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void rank_block_list(Tensor& lut, const Tensor& q, const Tensor& k) {
  const std::int64_t query_blocks = lut.size(1);
  const std::int64_t kept = lut.size(2);
  for (std::int64_t head = 0; head < lut.size(0); ++head) {
    for (std::int64_t block = 0; block < query_blocks; ++block) {
      // The mean over all keys lowers every score of a row alike, so ranking needs no smoothing.
      const std::vector<double> query = mean_rows(q, head, block * kQueryBlock, kQueryBlock);
      const auto score = [&](float key) {
        return dot(query, mean_rows(k, head, static_cast<std::int64_t>(key) * kKeyBlock, kKeyBlock));
      };
      float* row = lut.data() + (head * query_blocks + block) * kept;
      std::stable_sort(row, row + kept, [&](float a, float b) { return score(a) > score(b); });
    }
  }
}

}  // namespace turboclip::golden
