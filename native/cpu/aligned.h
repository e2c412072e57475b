// Vectors of floats that begin on a cache line: a 64-byte load that straddles two lines costs two.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace turboclip::cpu {

template <class T>
struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  CacheLineAllocator() = default;
  template <class U>
  explicit CacheLineAllocator(const CacheLineAllocator<U>&) {}

  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* values, std::size_t) { ::operator delete(values, kLine); }
  bool operator==(const CacheLineAllocator&) const { return true; }
};

using AlignedVector = std::vector<float, CacheLineAllocator<float>>;

}  // namespace turboclip::cpu
