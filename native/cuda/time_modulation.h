// The timestep's modulation of every block, computed on the host: a few matrix-vector products in float32,
// the same for every clip with the same steps, so each timestep's is kept.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "engine/backend.h"
#include "engine/thread_pool.h"

namespace turboclip::cuda {

class TimeModulation {
 public:
  /// Keeps the checkpoint open: its time layers are read from the mapping when a timestep is new.
  static Result<TimeModulation> load(const Checkpoint& checkpoint, const DenoiserConfig& config);

  /// [layers][6][C] and the head's [2][C], as the norms take them: shift, gain and gate of attention, then of
  /// the feed-forward part; the head's shift and gain. timestep is s * 1000.
  const std::vector<float>& table(double timestep);

 private:
  TimeModulation(const Checkpoint& checkpoint, const DenoiserConfig& config)
      : checkpoint_(checkpoint), config_(config), pool_(std::make_unique<ThreadPool>(host_threads())) {}

  std::vector<float> compute(double timestep) const;
  /// x through the layer `name`.
  std::vector<float> linear(const std::string& name, const std::vector<float>& x) const;

  Checkpoint checkpoint_;
  DenoiserConfig config_;
  std::unique_ptr<ThreadPool> pool_;
  std::vector<float> own_;  // the learnt part: what the table is at e = 0
  std::map<double, std::vector<float>> tables_;
};

}  // namespace turboclip::cuda
