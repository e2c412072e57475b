#include "allocations.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <new>

namespace turboclip::test {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

std::atomic<std::int64_t> live{0};
std::atomic<std::int64_t> peak{0};
std::atomic<std::int64_t> allowed_left{kNever};
std::atomic<std::int64_t> least_counted{0};

bool may_allocate(std::size_t bytes) {
  if (allowed_left == kNever || static_cast<std::int64_t>(bytes) < least_counted) return true;
  return allowed_left-- > 0;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (!may_allocate(bytes)) throw std::bad_alloc();
  const std::size_t whole = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  void* memory = alignment <= alignof(std::max_align_t) ? std::malloc(std::max<std::size_t>(bytes, 1))
                                                        : std::aligned_alloc(alignment, whole);
  if (memory == nullptr) throw std::bad_alloc();
  const std::int64_t now = live += static_cast<std::int64_t>(::malloc_usable_size(memory));
  std::int64_t highest = peak;
  while (now > highest && !peak.compare_exchange_weak(highest, now)) {
  }
  return memory;
}

void release(void* memory) {
  if (memory == nullptr) return;
  live -= static_cast<std::int64_t>(::malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

std::int64_t live_bytes() { return live; }
std::int64_t peak_bytes() { return peak; }
void reset_peak() { peak = live.load(); }

FailingAllocations::FailingAllocations(std::int64_t allowed, std::int64_t least) {
  least_counted = least;
  allowed_left = allowed;
}
FailingAllocations::~FailingAllocations() { allowed_left = kNever; }
bool FailingAllocations::failed() const { return allowed_left < 0; }

}  // namespace turboclip::test

void* operator new(std::size_t bytes) { return turboclip::test::allocate(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return turboclip::test::allocate(bytes, static_cast<std::size_t>(alignment));
}
// Every form that a sanitizer has of its own must be replaced, or its memory would meet our delete.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return turboclip::test::allocate(bytes, 1);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory, const std::nothrow_t&) noexcept { turboclip::test::release(memory); }
void operator delete(void* memory) noexcept { turboclip::test::release(memory); }
void operator delete(void* memory, std::size_t) noexcept { turboclip::test::release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { turboclip::test::release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  turboclip::test::release(memory);
}
