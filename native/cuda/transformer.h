// TurboWan's transformer and the rCM sampler on one device, behind the engine's interface.
#pragma once

#include <memory>

#include "cuda/device_memory.h"
#include "cuda/graph.h"
#include "cuda/latent.h"
#include "cuda/run_state.h"
#include "cuda/time_modulation.h"
#include "cuda/transformer_weights.h"
#include "engine/sampler/rcm.h"

namespace turboclip::cuda {

class Transformer : public Denoiser {
 public:
  /// Opens the device, and loads the weights onto it if they fit the share.
  static Result<std::unique_ptr<Transformer>> load(int device, const Checkpoint& checkpoint,
                                                   MemoryShare memory = MemoryShare(0));

  const DenoiserConfig& config() const override { return weights_.config; }
  std::int64_t weight_bytes() const { return cuda::weight_bytes(weights_.config); }

  Status begin_clip(const ModelLatentShape& shape, const Conditioning& conditioning,
                    const DenoiserSettings& settings, const CancelFlag& cancel) override;
  Result<Tensor> velocity(const Tensor& x, double timestep, const CancelFlag& cancel,
                          const Progress& progress, const Tap& tap) override;

  /// All steps from the noise of `seed` (docs/noise.md), with the model input rounded to bfloat16. Nothing
  /// but the latent leaves the device. Cancellation is looked at between steps.
  Result<Tensor> sample(const SamplerSettings& settings, std::uint64_t seed, const CancelFlag& cancel,
                        const StepProgress& progress);

 private:
  Transformer(std::unique_ptr<Queue> queue, MemoryShare memory, TransformerWeights weights,
              TimeModulation time)
      : queue_(std::move(queue)), memory_(memory), weights_(std::move(weights)), time_(std::move(time)) {}

  void prepare_text(const Tensor& text);
  void set_timestep(double timestep);
  void run_blocks(const Tap& tap);
  void run_block(std::size_t index);
  void self_attention(std::size_t index);
  void cross_attention(std::size_t index);
  void run_head();
  void show_block(std::size_t index, const Tap& tap);
  Int8Rows rows(std::int64_t width) const;
  Modulation modulation(std::size_t block, int shift_row) const;
  const float* gate(std::size_t block, int row) const;

  std::unique_ptr<Queue> queue_;
  MemoryShare memory_;
  TransformerWeights weights_;
  TimeModulation time_;
  DenoiserSettings settings_;
  LatentShape latent_{};
  RunState run_;
  Graph velocity_graph_;  // from run_.x to run_.v
  Graph step_graph_;      // from run_.state to run_.state
};

}  // namespace turboclip::cuda
