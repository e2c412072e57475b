// TurboWan's transformer and the rCM sampler on one device, behind the engine's interface.
#pragma once

#include <memory>

#include "cuda/device_plan.h"
#include "cuda/device_share.h"
#include "cuda/graph.h"
#include "cuda/latent.h"
#include "cuda/run_state.h"
#include "cuda/time_modulation.h"
#include "cuda/transformer_blocks.h"
#include "cuda/transformer_weights.h"
#include "engine/sampler/rcm.h"

namespace turboclip::cuda {

/// What decides where a transformer's weights go.
struct TransformerPlacement {
  std::int64_t memory_limit = 0;  // as MemoryShare takes it
  /// Blocks on the device at most, the others in the host's memory; negative: as many as fit.
  std::int64_t most_resident = -1;
  /// Bytes of its largest clip's steps, if that is known: room that the blocks leave.
  std::int64_t clip = 0;
  /// The other models of its set that are still to be loaded.
  OtherModels others{};
};

class Transformer : public Denoiser {
 public:
  /// Opens the device, and loads the weights onto it as far as they fit.
  static Result<std::unique_ptr<Transformer>> load(int device, const Checkpoint& checkpoint,
                                                   const TransformerPlacement& placement = {});

  const DenoiserConfig& config() const override { return weights_.config; }
  /// Of the device.
  std::int64_t weight_bytes() const { return held_.bytes(); }
  /// To be held by whoever uses it while others use the device.
  std::mutex& computing() const { return memory_.holdings().computing; }
  /// Blocks that come from the host's memory at each step.
  std::int64_t streamed() const { return blocks_.streamed(); }

  void expect_stage(std::int64_t bytes) override { other_stage_ = bytes; }
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
              TransformerBlocks blocks, TimeModulation time)
      : queue_(std::move(queue)),
        memory_(memory),
        weights_(std::move(weights)),
        blocks_(std::move(blocks)),
        time_(std::move(time)),
        held_(memory.device(), embedding_bytes(weights_.config) + blocks_.device_bytes()) {}

  Result<unsigned char*> make_room(const ModelLatentShape& shape, std::int64_t text_rows);
  /// request_invalid unless the clip that was begun still has its memory.
  Status check_begun() const;
  void prepare_text(const Tensor& text);
  void set_timestep(double timestep);
  void run_blocks(const Tap& tap);
  void run_block(std::size_t index, const BlockWeights& block);
  void self_attention(const BlockWeights& block);
  void cross_attention(std::size_t index, const BlockWeights& block);
  void run_head();
  void show_block(std::size_t index, const Tap& tap);
  Int8Rows rows(std::int64_t width) const;
  Modulation modulation(std::size_t block, int shift_row) const;
  const float* gate(std::size_t block, int row) const;

  std::unique_ptr<Queue> queue_;
  MemoryShare memory_;
  TransformerWeights weights_;
  TransformerBlocks blocks_;
  TimeModulation time_;
  HeldWeights held_;
  DenoiserSettings settings_;
  std::int64_t other_stage_ = 0;
  LatentShape latent_{};
  RunState run_;
  unsigned char* ring_ = nullptr;  // of streamed blocks, behind run_
  std::uint64_t owner_ = 0;        // of the holdings' scratch, while it is this clip's
  Graph velocity_graph_;           // from run_.x to run_.v
  Graph step_graph_;               // from run_.state to run_.state
};

}  // namespace turboclip::cuda
