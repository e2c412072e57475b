// The transformer's blocks where they are kept: on the device, or in pinned memory of the host, from where
// they come in turn while the blocks before them compute.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/block_weights.h"
#include "cuda/device_array.h"
#include "cuda/device_share.h"
#include "cuda/pinned.h"

namespace turboclip::cuda {

/// Blocks of the ring on the device: one that computes and two that come.
inline constexpr std::int64_t kRingSlots = 3;

/// Bytes of the ring that streamed blocks come to.
std::int64_t ring_bytes(const DenoiserConfig& config, std::int64_t streamed);

/// A pass over all blocks in order: a step, or what a clip needs once.
enum class BlockPass { step, once };

class TransformerBlocks {
 public:
  /// Reads all blocks; `streamed` of them stay in the host's memory, evenly spread over the model so that
  /// each has the others' time to come. Errors are read_block()'s, or out_of_memory of either memory.
  static Result<TransformerBlocks> load(Queue& queue, const Checkpoint& checkpoint,
                                        const DenoiserConfig& config, std::int64_t streamed);

  std::int64_t count() const { return static_cast<std::int64_t>(blocks_.size()); }
  std::int64_t streamed() const { return streamed_; }
  std::int64_t device_bytes() const { return (count() - streamed_) * bytes_.all(); }

  /// Takes more blocks off the device, which is idle: `streamed` in all. As load(); after an error the blocks
  /// are where they were.
  Status stream(Queue& queue, std::int64_t streamed);

  /// Enqueues a pass, or records it into a graph: begin(), then for each block from the first to the last
  /// take(), what computes with it, and leave(). ring: ring_bytes(), of nobody else until the pass is over.
  void begin(Queue& queue, BlockPass pass, unsigned char* ring);
  BlockWeights take(Queue& queue, std::int64_t index);
  void leave(Queue& queue, std::int64_t index);

 private:
  struct Block {
    DeviceArray<unsigned char> device;
    Pinned host;  // of a streamed one
  };
  /// The stream of the copies, and the marks of a slot: that its block has come, and that it is free.
  struct Copies {
    explicit Copies(Queue& queue);
    Copies(const Copies&) = delete;
    Copies& operator=(const Copies&) = delete;
    ~Copies();

    cudaStream_t stream = nullptr;
    Mark start;
    std::vector<Mark> came, free;
  };

  TransformerBlocks(const Checkpoint& checkpoint, const DenoiserConfig& config)
      : checkpoint_(checkpoint), config_(config), bytes_(block_bytes(config)) {}

  Status keep_on_host(Queue& queue, std::int64_t index, ThreadPool& threads);
  std::int64_t slots() const { return std::min(kRingSlots, streamed_); }
  unsigned char* slot(std::int64_t turn) const { return ring_ + turn % slots() * bytes_.step; }
  void fetch_next(Queue& queue);

  Checkpoint checkpoint_;  // blocks that leave the device later are read again
  DenoiserConfig config_;
  BlockBytes bytes_;
  std::vector<Block> blocks_;
  std::int64_t streamed_ = 0;
  std::unique_ptr<Copies> copies_;  // once there are streamed blocks
  // Of the pass that is being enqueued.
  BlockPass pass_ = BlockPass::step;
  unsigned char* ring_ = nullptr;
  std::vector<std::int64_t> turns_;  // streamed blocks in order
  std::int64_t fetched_ = 0;         // of turns_
  std::int64_t left_ = 0;
};

}  // namespace turboclip::cuda
