#include "cuda/device_share.h"

#include <algorithm>
#include <map>
#include <utility>

namespace turboclip::cuda {

void DeviceHoldings::note_peak() {
  const std::lock_guard lock(counting);
  peak = std::max(peak, weights + scratch.bytes());
}

DeviceHoldings& holdings_of(int device) {
  static std::mutex mutex;
  // Never destroyed: a model may outlive what a process destroys at its end, and the driver takes all back
  // then.
  static auto& devices = *new std::map<int, DeviceHoldings>;
  const std::lock_guard lock(mutex);
  return devices[device];
}

HeldWeights::HeldWeights(int device, std::int64_t bytes) : device_(device) { change(bytes); }

HeldWeights& HeldWeights::operator=(HeldWeights&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

HeldWeights::~HeldWeights() {
  if (bytes_ == 0) return;
  DeviceHoldings& holdings = holdings_of(device_);
  holdings.weights -= bytes_;
  // The last model's end is the scratch's.
  const std::lock_guard lock(holdings.counting);
  if (holdings.weights == 0) holdings.scratch = {};
}

void HeldWeights::change(std::int64_t bytes) {
  DeviceHoldings& holdings = holdings_of(device_);
  bytes_ += bytes;
  holdings.weights += bytes;
  holdings.note_peak();
}

Result<std::int64_t> MemoryShare::available(Queue& queue) const {
  std::size_t free_bytes = 0, total_bytes = 0;
  queue.check("the device's memory", cudaMemGetInfo(&free_bytes, &total_bytes));
  if (!queue.status()) return queue.status().error();
  const std::lock_guard lock(holdings().counting);
  const std::int64_t free = static_cast<std::int64_t>(free_bytes) + holdings().scratch.bytes();
  return limit_ == 0 ? free : std::clamp<std::int64_t>(limit_ - holdings().weights, 0, free);
}

unsigned char* MemoryShare::take_scratch(Queue& queue, std::int64_t bytes) const {
  DeviceHoldings& here = holdings();
  ++here.owner;
  if (here.scratch.bytes() < bytes) {
    const std::lock_guard lock(here.counting);
    here.scratch.allocate(queue, bytes);
  }
  here.note_peak();
  return queue.status() ? here.scratch.data() : nullptr;
}

void MemoryShare::drop_scratch() const {
  DeviceHoldings& here = holdings();
  ++here.owner;
  const std::lock_guard lock(here.counting);
  here.scratch = {};
}

}  // namespace turboclip::cuda
