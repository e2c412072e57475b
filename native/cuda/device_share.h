// What this process holds of a device, and what it may hold. Weights stay; whoever computes takes one piece
// of memory for as long as it does (a clip's activations, a decoder's frames), which the next one gets: a
// clip's stages follow each other, so the device needs room for the largest of them and not for all.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "cuda/device_array.h"
#include "cuda/queue.h"

namespace turboclip::cuda {

/// Places arrays one after the other, each aligned to 256 bytes, in a piece of memory, or in none to count
/// them.
class Placing {
 public:
  explicit Placing(unsigned char* base = nullptr) : base_(base) {}

  template <class Value>
  Value* next(std::int64_t count) {
    Value* place = base_ == nullptr ? nullptr : reinterpret_cast<Value*>(base_ + bytes_);
    constexpr std::int64_t kAlignment = 256;
    bytes_ += (count * static_cast<std::int64_t>(sizeof(Value)) + kAlignment - 1) / kAlignment * kAlignment;
    return place;
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  unsigned char* base_;
  std::int64_t bytes_ = 0;
};

/// The next `count` values of `where`, as an array.
template <class Value>
void put(Placing& where, DeviceArray<Value>& array, std::int64_t count) {
  array.place(where.next<Value>(count), count);
}

/// All that this process holds of one device.
struct DeviceHoldings {
  std::mutex computing;                   // held by whoever uses `scratch`, or loads
  std::atomic<std::int64_t> weights = 0;  // models end on other threads
  std::mutex counting;                    // held for `peak`, and while the scratch changes
  std::int64_t peak = 0;                  // the most that there was of weights and scratch together
  DeviceArray<unsigned char> scratch;
  std::uint64_t owner = 0;  // who has the scratch: counted up with every change

  void note_peak();
};
/// The one of this process, of a device that is there.
DeviceHoldings& holdings_of(int device);

/// Bytes of weights in the holdings, for as long as it lives.
class HeldWeights {
 public:
  HeldWeights() = default;
  HeldWeights(int device, std::int64_t bytes);
  HeldWeights(HeldWeights&& other) noexcept { *this = std::move(other); }
  HeldWeights& operator=(HeldWeights&& other) noexcept;
  ~HeldWeights();

  std::int64_t bytes() const { return bytes_; }
  /// Some were given back, or came.
  void change(std::int64_t bytes);

 private:
  int device_ = 0;
  std::int64_t bytes_ = 0;
};

/// A share of a device, for what this process allocates there. The driver's own (a context, modules, graphs:
/// some hundred MB) comes on top.
class MemoryShare {
 public:
  /// At most `limit` bytes; 0 is all that the driver has free.
  explicit MemoryShare(std::int64_t limit, int device = 0) : limit_(limit), device_(device) {}

  int device() const { return device_; }
  DeviceHoldings& holdings() const { return holdings_of(device_); }

  /// Bytes that may be taken beside the weights that are there; the scratch counts as free.
  Result<std::int64_t> available(Queue& queue) const;

  /// The scratch, with at least so many bytes, whose owner is now the caller: `owner` of the holdings tells
  /// whether it still is. nullptr with the queue's error if there is not enough.
  unsigned char* take_scratch(Queue& queue, std::int64_t bytes) const;
  /// Frees the scratch, for weights that need the room.
  void drop_scratch() const;

 private:
  std::int64_t limit_;
  int device_;
};

}  // namespace turboclip::cuda
