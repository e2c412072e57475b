// Activations' storage.
#pragma once

#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace turboclip::cpu {

/// Leaves new elements as they are: an activation is overwritten as a whole, so that filling it with zeros
/// first would cost a pass over memory, on one thread, and put all of its page faults there.
template <class T>
struct UninitialisedAllocator : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = UninitialisedAllocator<U>;
  };

  using std::allocator<T>::allocator;

  void construct(T* at) noexcept { ::new (static_cast<void*>(at)) T; }
  template <class... Arguments>
  void construct(T* at, Arguments&&... arguments) {
    ::new (static_cast<void*>(at)) T(std::forward<Arguments>(arguments)...);
  }
};

using Floats = std::vector<float, UninitialisedAllocator<float>>;

}  // namespace turboclip::cpu
