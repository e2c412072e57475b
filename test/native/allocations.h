// The test binary's operator new: counts what is alive, and fails when told to.
#pragma once

#include <cstdint>

namespace turboclip::test {

/// Bytes that operator new has handed out and not got back.
std::int64_t live_bytes();
/// The highest live_bytes() since the last call of reset_peak().
std::int64_t peak_bytes();
void reset_peak();

/// While it lives, the allocation after the next `allowed` ones, and every later one of `least` bytes or
/// more, throws std::bad_alloc, on any thread.
class FailingAllocations {
 public:
  FailingAllocations(std::int64_t allowed, std::int64_t least);
  FailingAllocations(const FailingAllocations&) = delete;
  FailingAllocations& operator=(const FailingAllocations&) = delete;
  ~FailingAllocations();
  /// Whether any has failed yet.
  bool failed() const;
};

}  // namespace turboclip::test
