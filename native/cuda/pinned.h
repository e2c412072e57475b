// Memory of the host that the device copies from and to by itself.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <utility>

#include "cuda/queue.h"

namespace turboclip::cuda {

/// Pinned bytes; empty if the host had none left, which the queue then says.
class Pinned {
 public:
  Pinned() = default;
  Pinned(Queue& queue, std::int64_t bytes) {
    if (!queue.status() || bytes == 0) return;
    void* pointer = nullptr;
    queue.check("pinned memory", cudaMallocHost(&pointer, static_cast<std::size_t>(bytes)));
    if (pointer == nullptr) return;
    data_ = static_cast<unsigned char*>(pointer);
    bytes_ = bytes;
  }
  Pinned(Pinned&& other) noexcept { *this = std::move(other); }
  Pinned& operator=(Pinned&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Pinned() { cudaFreeHost(data_); }

  unsigned char* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  unsigned char* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace turboclip::cuda
