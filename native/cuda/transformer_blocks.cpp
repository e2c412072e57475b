#include "cuda/transformer_blocks.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/host_memory.h"
#include "engine/memory_plan.h"
#include "engine/text.h"

namespace turboclip::cuda {
namespace {

/// Blocks in the order in which they leave the device: by their numbers' bits from the last to the first, so
/// that any first so many of them are spread evenly.
std::vector<std::int64_t> leaving_order(std::int64_t blocks) {
  const auto mirrored = [](std::int64_t number) {
    std::uint32_t bits = 0;
    for (int i = 0; i < 32; ++i) bits |= (static_cast<std::uint32_t>(number) >> i & 1u) << (31 - i);
    return bits;
  };
  std::vector<std::int64_t> order(static_cast<std::size_t>(blocks));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::int64_t a, std::int64_t b) { return mirrored(a) < mirrored(b); });
  return order;
}

Status check_host_memory(std::int64_t bytes) {
  const std::int64_t available = available_host_memory();
  if (available == 0 || bytes <= available) return success();
  return Error{
      ErrorCode::out_of_memory,
      concat("blocks of the transformer that do not fit the device need ", gibibytes(bytes),
             " of the host's memory and ", gibibytes(available),
             " are available; free memory, give the engine more of the card, or load a smaller model")};
}

}  // namespace

std::int64_t ring_bytes(const DenoiserConfig& config, std::int64_t streamed) {
  return std::min(kRingSlots, streamed) * block_bytes(config).step;
}

TransformerBlocks::Copies::Copies(Queue& queue) : start(queue) {
  queue.check("a stream", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  for (std::int64_t i = 0; i < kRingSlots; ++i) {
    came.emplace_back(queue);
    free.emplace_back(queue);
  }
}

TransformerBlocks::Copies::~Copies() {
  if (stream != nullptr) cudaStreamDestroy(stream);
}

Result<TransformerBlocks> TransformerBlocks::load(Queue& queue, const Checkpoint& checkpoint,
                                                  const DenoiserConfig& config, std::int64_t streamed) {
  TransformerBlocks loaded(checkpoint, config);
  loaded.blocks_.resize(static_cast<std::size_t>(config.layers));
  const Status off = loaded.stream(queue, streamed);
  if (!off) return off.error();
  ThreadPool threads(host_threads());
  // While one block is on its way to the device, the next one is read.
  const std::int64_t bytes = loaded.bytes_.all();
  const bool any = streamed < config.layers;
  const Pinned staging[2] = {Pinned(queue, any ? bytes : 0), Pinned(queue, any ? bytes : 0)};
  const Mark copied[2] = {Mark(queue), Mark(queue)};
  std::size_t turn = 0;
  for (std::int64_t i = 0; i < config.layers && queue.status(); ++i) {
    Block& block = loaded.blocks_[static_cast<std::size_t>(i)];
    if (block.host.bytes() > 0) continue;
    copied[turn].wait(queue);
    if (!queue.status()) break;
    const Status read = read_block(checkpoint, config, i, threads, staging[turn].data());
    if (!read) {
      (void)queue.finish();  // before the staging goes
      return read.error();
    }
    block.device.allocate(queue, bytes);
    queue.copy("weights", block.device.data(), staging[turn].data(), static_cast<std::size_t>(bytes),
               cudaMemcpyHostToDevice);
    copied[turn].set(queue);
    turn = 1 - turn;
  }
  const Status finished = queue.finish();
  if (!finished) return finished.error();
  return loaded;
}

Status TransformerBlocks::stream(Queue& queue, std::int64_t streamed) {
  if (streamed <= streamed_) return success();
  const Status room = check_host_memory((streamed - streamed_) * bytes_.all());
  if (!room) return room;
  if (copies_ == nullptr) copies_ = std::make_unique<Copies>(queue);
  ThreadPool threads(host_threads());
  const std::vector<std::int64_t> order = leaving_order(count());
  std::int64_t read = streamed_;
  Status status = queue.status();
  for (; read < streamed && status; ++read)
    status = keep_on_host(queue, order[static_cast<std::size_t>(read)], threads);
  for (std::int64_t i = streamed_; i < read; ++i) {
    Block& block = blocks_[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])];
    if (status) {
      block.device = {};
    } else {
      block.host = {};
    }
  }
  if (status) streamed_ = streamed;
  return status;
}

Status TransformerBlocks::keep_on_host(Queue& queue, std::int64_t index, ThreadPool& threads) {
  Pinned host(queue, bytes_.all());
  if (!queue.status()) return queue.status();
  const Status read = read_block(checkpoint_, config_, index, threads, host.data());
  if (read) blocks_[static_cast<std::size_t>(index)].host = std::move(host);
  return read;
}

void TransformerBlocks::begin(Queue& queue, BlockPass pass, unsigned char* ring) {
  pass_ = pass;
  ring_ = ring;
  turns_.clear();
  fetched_ = 0;
  left_ = 0;
  if (streamed_ == 0) return;
  for (std::int64_t i = 0; i < count(); ++i) {
    if (blocks_[static_cast<std::size_t>(i)].host.bytes() > 0) turns_.push_back(i);
  }
  // What used the ring before has to be done with it.
  copies_->start.set(queue);
  copies_->start.hold(queue, copies_->stream);
  while (fetched_ < slots()) fetch_next(queue);
}

/// Starts the copy of the next streamed block, into the slot that is free by then.
void TransformerBlocks::fetch_next(Queue& queue) {
  const std::int64_t turn = fetched_++;
  const auto place = static_cast<std::size_t>(turn % slots());
  if (turn >= slots()) copies_->free[place].hold(queue, copies_->stream);
  const Block& block = blocks_[static_cast<std::size_t>(turns_[static_cast<std::size_t>(turn)])];
  const bool step = pass_ == BlockPass::step;
  const unsigned char* from = block.host.data() + (step ? 0 : bytes_.step);
  const std::int64_t bytes = step ? bytes_.step : bytes_.once;
  if (queue.status()) {
    queue.check("weights", cudaMemcpyAsync(slot(turn), from, static_cast<std::size_t>(bytes),
                                           cudaMemcpyHostToDevice, copies_->stream));
  }
  copies_->came[place].set(queue, copies_->stream);
}

BlockWeights TransformerBlocks::take(Queue& queue, std::int64_t index) {
  Block& block = blocks_[static_cast<std::size_t>(index)];
  if (block.host.bytes() == 0) {
    return place_block(config_, block.device.data(), block.device.data() + bytes_.step);
  }
  copies_->came[static_cast<std::size_t>(left_ % slots())].hold(queue, queue.stream());
  unsigned char* here = slot(left_);
  return pass_ == BlockPass::step ? place_block(config_, here, nullptr) : place_block(config_, nullptr, here);
}

void TransformerBlocks::leave(Queue& queue, std::int64_t index) {
  if (blocks_[static_cast<std::size_t>(index)].host.bytes() == 0) return;
  copies_->free[static_cast<std::size_t>(left_ % slots())].set(queue);
  ++left_;
  if (fetched_ < static_cast<std::int64_t>(turns_.size())) fetch_next(queue);
}

}  // namespace turboclip::cuda
