// Memory of the host that the device copies from and to by itself, and marks in a queue's work.
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

/// A mark that a queue sets in its work, and that the host or another stream can wait for.
class Mark {
 public:
  explicit Mark(Queue& queue) {
    queue.check("an event", cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
  }
  Mark(Mark&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Mark& operator=(Mark&&) = delete;
  ~Mark() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }

  void set(Queue& queue) const { set(queue, queue.stream()); }
  /// In a stream beside the queue's own.
  void set(Queue& queue, cudaStream_t stream) const {
    if (queue.status()) queue.check("an event", cudaEventRecord(event_, stream));
  }
  /// The host waits.
  void wait(Queue& queue) const {
    if (queue.status()) queue.check("the work so far", cudaEventSynchronize(event_));
  }
  /// What comes next in the stream waits.
  void hold(Queue& queue, cudaStream_t stream) const {
    if (queue.status()) queue.check("an event", cudaStreamWaitEvent(stream, event_, 0));
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace turboclip::cuda
