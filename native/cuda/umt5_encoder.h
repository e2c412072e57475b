// umT5's encoder on one device: token ids to text rows.
#pragma once

#include <memory>
#include <mutex>
#include <span>

#include "cuda/device_share.h"
#include "cuda/pinned.h"
#include "cuda/umt5_stack.h"

namespace turboclip::cuda {

class Umt5Encoder {
 public:
  /// Opens the device, and loads the weights onto it if they fit the share (memory_limit: as MemoryShare
  /// takes it); the scratch is free after that. The embedding table stays in the checkpoint's mapping.
  static Result<std::unique_ptr<Umt5Encoder>> load(int device, const Checkpoint& checkpoint,
                                                   TextPrecision precision, std::int64_t memory_limit = 0);

  std::int64_t width() const { return weights_.config.width; }
  std::int64_t vocabulary() const { return weights_.config.vocabulary; }
  std::int64_t weight_bytes() const { return held_.bytes(); }
  /// To be held by whoever uses it while others use the device.
  std::mutex& computing() const { return memory_.holdings().computing; }
  /// Bytes of device memory for a prompt of so many tokens, besides the weights.
  std::int64_t prompt_bytes(std::int64_t tokens) const {
    return umt5_prompt_bytes(queue_->device(), weights_.config, weights_.precision, tokens);
  }

  /// ids: 1 to 512 tokens, </s> included, no padding. Returns [ids, width]: the real rows only.
  Result<Tensor> encode(std::span<const std::int32_t> ids, const Stopped& stopped);

 private:
  Umt5Encoder(std::unique_ptr<Queue> queue, const MemoryShare& memory, HeldWeights held, Umt5Weights weights,
              Checkpoint checkpoint)
      : queue_(std::move(queue)),
        memory_(memory),
        weights_(std::move(weights)),
        checkpoint_(std::move(checkpoint)),
        held_(std::move(held)) {}

  void embed(std::span<const std::int32_t> ids, float* rows) const;

  std::unique_ptr<Queue> queue_;
  MemoryShare memory_;
  Umt5Weights weights_;
  Checkpoint checkpoint_;
  HeldWeights held_;
  Pinned rows_;  // [kMaxPromptTokens, width] of the host: embedded tokens on their way, then text rows
};

}  // namespace turboclip::cuda
