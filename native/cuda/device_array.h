// Device memory: an allocation of its own, or a place in one that somebody else owns.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "cuda/queue.h"

namespace turboclip::cuda {

template <class Value>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(DeviceArray&& other) noexcept { swap(other); }
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    DeviceArray(std::move(other)).swap(*this);
    return *this;
  }
  ~DeviceArray() {
    if (owned_) cudaFree(data_);
  }

  /// Room for `count` values, uninitialised; what was held before is given back first.
  void allocate(Queue& queue, std::int64_t count) {
    *this = DeviceArray();
    if (!queue.status() || count == 0) return;
    if (queue.counting()) {
      count_ = count;
      return;
    }
    void* pointer = nullptr;
    queue.check("device memory", cudaMalloc(&pointer, static_cast<std::size_t>(count) * sizeof(Value)));
    if (pointer == nullptr) return;
    data_ = static_cast<Value*>(pointer);
    count_ = count;
    owned_ = true;
  }

  /// `count` values in memory that outlives this.
  void place(Value* data, std::int64_t count) {
    *this = DeviceArray();
    data_ = data;
    count_ = count;
  }

  /// Fills what is there from the host.
  void fill(Queue& queue, const std::vector<Value>& values) {
    queue.copy("upload", data_, values.data(), values.size() * sizeof(Value), cudaMemcpyHostToDevice);
  }

  /// Room of its own, filled from the host.
  void upload(Queue& queue, const std::vector<Value>& values) {
    allocate(queue, static_cast<std::int64_t>(values.size()));
    fill(queue, values);
  }

  /// All values on the host, once the queue has come so far.
  std::vector<Value> download(Queue& queue) const {
    std::vector<Value> values(static_cast<std::size_t>(count_));
    queue.copy("download", values.data(), data_, values.size() * sizeof(Value), cudaMemcpyDeviceToHost);
    (void)queue.finish();
    return values;
  }

  Value* data() { return data_; }
  const Value* data() const { return data_; }
  std::int64_t count() const { return count_; }
  std::int64_t bytes() const { return count_ * static_cast<std::int64_t>(sizeof(Value)); }

 private:
  void swap(DeviceArray& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    std::swap(owned_, other.owned_);
  }

  Value* data_ = nullptr;
  std::int64_t count_ = 0;
  bool owned_ = false;
};

}  // namespace turboclip::cuda
