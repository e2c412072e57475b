// What a model and a clip may take of a device's memory, asked before it is taken.
#pragma once

#include <cstdint>
#include <utility>

#include "cuda/queue.h"
#include "engine/backend.h"

namespace turboclip::cuda {

/// A share of a device, for what one engine allocates there. The driver's own (a context, modules, graphs:
/// some hundred MB) comes on top.
class MemoryShare {
 public:
  /// At most `limit` bytes; 0 is all that the driver has free.
  explicit MemoryShare(std::int64_t limit) : limit_(limit) {}

  /// Bytes that may be taken of the queue's device besides the `held` ones of the model that asks.
  Result<std::int64_t> available(Queue& queue, std::int64_t held) const;

 private:
  std::int64_t limit_;
};

/// Bytes of weights that count against every share, for as long as it lives: of models beside the transformer.
class HeldWeights {
 public:
  HeldWeights() = default;
  explicit HeldWeights(std::int64_t bytes);
  HeldWeights(HeldWeights&& other) noexcept : bytes_(std::exchange(other.bytes_, 0)) {}
  HeldWeights& operator=(HeldWeights&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~HeldWeights();

 private:
  std::int64_t bytes_ = 0;
};

/// out_of_memory with need, have and remedy, unless weights of this model fit `available`.
Status check_weights(const DenoiserConfig& config, std::int64_t available);

/// Bytes at the peak of a clip, besides the weights.
std::int64_t clip_bytes(const DenoiserConfig& config, const ModelLatentShape& shape,
                        const DenoiserSettings& settings, std::int64_t text_rows);

/// out_of_memory with need, have and how many frames would fit, unless the clip fits `available`.
Status check_clip_bytes(const DenoiserConfig& config, const ModelLatentShape& shape,
                        const DenoiserSettings& settings, std::int64_t text_rows, std::int64_t available);

}  // namespace turboclip::cuda
