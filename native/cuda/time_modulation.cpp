#include "cuda/time_modulation.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <utility>

#include "engine/text.h"

namespace turboclip::cuda {
namespace {

constexpr std::int64_t kFrequencies = 256;
constexpr std::int64_t kRows = 64;  // of a layer, that a thread computes at a time
constexpr std::size_t kKept = 16;   // timesteps: those of four settings of the sampler

void silu(std::vector<float>& x) {
  for (float& value : x) value /= 1 + std::exp(-value);
}

}  // namespace

Result<TimeModulation> TimeModulation::load(const Checkpoint& checkpoint, const DenoiserConfig& config) {
  const std::int64_t width = config.width;
  const std::pair<const char*, Shape> layers[] = {{"time_embedding.0", {width, kFrequencies}},
                                                  {"time_embedding.2", {width, width}},
                                                  {"time_projection.1", {6 * width, width}}};
  for (const auto& [name, shape] : layers) {
    const Result<const TensorView*> weight = checkpoint.require(concat(name, ".weight"), shape);
    if (!weight) return weight.error();
    const Result<const TensorView*> bias = checkpoint.require(concat(name, ".bias"), {shape[0]});
    if (!bias) return bias.error();
  }
  TimeModulation modulation(checkpoint, config);
  for (std::int64_t i = 0; i <= config.layers; ++i) {
    const bool head = i == config.layers;
    const Result<Tensor> own = checkpoint.require_float(
        head ? "head.modulation" : concat("blocks.", i, ".modulation"), {1, head ? 2 : 6, width});
    if (!own) return own.error();
    modulation.own_.insert(modulation.own_.end(), own.value().values.begin(), own.value().values.end());
  }
  return modulation;
}

const std::vector<float>& TimeModulation::table(double timestep) {
  const auto found = tables_.find(timestep);
  if (found != tables_.end()) return found->second;
  if (tables_.size() >= kKept) tables_.clear();
  return tables_[timestep] = compute(timestep);
}

std::vector<float> TimeModulation::linear(const std::string& name, const std::vector<float>& x) const {
  const TensorView& weight = *checkpoint_.find(name + ".weight");
  Tensor y = to_float(*checkpoint_.find(name + ".bias"));
  const std::int64_t out = y.size(0);
  pool_->for_each((out + kRows - 1) / kRows, [&](std::int64_t part) {
    const std::int64_t first = part * kRows;
    const Tensor rows = to_float(rows_of(weight, first, std::min(kRows, out - first)));
    for (std::int64_t o = 0; o < rows.size(0); ++o) {
      const float* row = rows.data() + o * std::ssize(x);
      double sum = 0;
      for (std::size_t i = 0; i < x.size(); ++i) sum += static_cast<double>(row[i]) * x[i];
      y.values[static_cast<std::size_t>(first + o)] += static_cast<float>(sum);
    }
  });
  return std::move(y.values);
}

std::vector<float> TimeModulation::compute(double timestep) const {
  constexpr std::int64_t kHalf = kFrequencies / 2;
  std::vector<float> waves(static_cast<std::size_t>(kFrequencies));
  for (std::int64_t i = 0; i < kHalf; ++i) {
    const double angle = timestep * std::pow(10'000.0, -static_cast<double>(i) / kHalf);
    waves[i] = static_cast<float>(std::cos(angle));
    waves[kHalf + i] = static_cast<float>(std::sin(angle));
  }
  std::vector<float> hidden = linear("time_embedding.0", waves);
  silu(hidden);
  const std::vector<float> e = linear("time_embedding.2", hidden);
  hidden = e;
  silu(hidden);
  const std::vector<float> e0 = linear("time_projection.1", hidden);
  std::vector<float> table = own_;
  const std::size_t blocks = static_cast<std::size_t>(config_.layers) * e0.size();
  for (std::size_t i = 0; i < blocks; ++i) table[i] += e0[i % e0.size()];
  for (std::size_t i = blocks; i < table.size(); ++i) table[i] += e[(i - blocks) % e.size()];
  return table;
}

}  // namespace turboclip::cuda
