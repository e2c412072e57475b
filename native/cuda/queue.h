// Work on one device, in order. The first failure is kept with the stage and the kernel it came from, and
// what follows it is skipped, so that a sequence of launches reads as one.
#pragma once

#include <cuda_runtime.h>

#include <optional>
#include <string>
#include <utility>

#include "engine/error.h"
#include "engine/text.h"

namespace turboclip::cuda {

/// Blocks, threads a block, and bytes of dynamic shared memory of a launch.
struct Grid {
  dim3 blocks;
  unsigned threads = 0;
  std::size_t shared_bytes = 0;
};

/// The most that a block may have on every card that the portable kernels run on (an RTX 5090's 99 KiB).
inline constexpr std::size_t kSharedLimit = 101'376;

/// Blocks of so much shared memory that a multiprocessor of an RTX 5090 holds at a time: it has 100 KiB, of
/// which the system takes one for each. Registers are ptxas's to keep within __launch_bounds__, and a test's
/// to count (test/native/cuda/machine_code_test.cpp).
constexpr int blocks_by_shared_memory(std::size_t bytes) {
  return static_cast<int>((std::size_t{100} << 10) / (bytes + (std::size_t{1} << 10)));
}
static_assert(blocks_by_shared_memory(kSharedLimit) == 1);

/// What kernels choose their tiles by.
struct Device {
  int major = 0;
  int multiprocessors = 0;
  std::size_t shared_bytes = 0;  // that a block may ask for
};

class Queue {
 public:
  Queue() = default;
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue() {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  Status open(int device) {
    index_ = device;
    enter("open");
    cudaDeviceProp properties{};
    if (!failure_) check("the device's properties", cudaGetDeviceProperties(&properties, device));
    device_ = {properties.major, properties.multiProcessorCount, properties.sharedMemPerBlockOptin};
    if (!failure_) check("a stream", cudaStreamCreate(&stream_));
    return status();
  }

  /// Opens no device: nothing runs, nothing is copied, and arrays have sizes but no memory, so that what a
  /// model takes is known from loading it so.
  void count_only() { counting_ = true; }
  bool counting() const { return counting_; }

  cudaStream_t stream() const { return stream_; }
  const Device& device() const { return device_; }

  /// Names the stage that errors from here on belong to, forgets an earlier failure, and makes the device the
  /// thread's: a clip may come on another thread than the load.
  void enter(const char* stage) {
    stage_ = stage;
    failure_.reset();
    if (!counting_) check("the device", cudaSetDevice(index_));
  }

  template <class... Expected, class... Given>
  void launch(const char* name, void (*kernel)(Expected...), const Grid& grid, Given&&... arguments) {
    if (failure_ || counting_) return;
    constexpr std::size_t kWithoutAsking = 48 << 10;
    if (grid.shared_bytes > kWithoutAsking) {
      check(name, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       static_cast<int>(grid.shared_bytes)));
      if (failure_) return;
    }
    cudaLaunchConfig_t config{};
    config.gridDim = grid.blocks;
    config.blockDim = dim3(grid.threads);
    config.dynamicSmemBytes = grid.shared_bytes;
    config.stream = stream_;
    check(name, cudaLaunchKernelEx(&config, kernel, std::forward<Given>(arguments)...));
  }

  void copy(const char* what, void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    if (!failure_ && !counting_ && bytes > 0) check(what, cudaMemcpyAsync(to, from, bytes, kind, stream_));
  }

  /// Keeps the error of a call that was made for `what` (a kernel's name, or words).
  void check(const char* what, cudaError_t error) {
    if (failure_ || error == cudaSuccess) return;
    cudaGetLastError();  // or the next launch would report it again
    const ErrorCode code = error_code(error);
    failure_ =
        Error{code, concat("CUDA, ", stage_, ", ", what, ": ", cudaGetErrorString(error), remedy(code))};
  }

  Status status() const {
    if (failure_) return *failure_;
    return success();
  }

  /// Waits until all is done. Faults inside kernels show here.
  Status finish() {
    if (!failure_ && !counting_) check("the kernels so far", cudaStreamSynchronize(stream_));
    return status();
  }

 private:
  static ErrorCode error_code(cudaError_t error) {
    switch (error) {
      case cudaErrorMemoryAllocation:
        return ErrorCode::out_of_memory;
      // Every later call of the process fails like these.
      case cudaErrorECCUncorrectable:
      case cudaErrorIllegalAddress:
      case cudaErrorLaunchTimeout:
      case cudaErrorHardwareStackError:
      case cudaErrorIllegalInstruction:
      case cudaErrorMisalignedAddress:
      case cudaErrorInvalidAddressSpace:
      case cudaErrorInvalidPc:
      case cudaErrorLaunchFailure:
      case cudaErrorExternalDevice:
      case cudaErrorUnknown:
        return ErrorCode::device_lost;
      default:
        return ErrorCode::internal;
    }
  }
  static const char* remedy(ErrorCode code) {
    if (code == ErrorCode::out_of_memory)
      return "; ask for a smaller clip or model, or free the card's memory";
    if (code == ErrorCode::device_lost) return "; restart the engine, the device's state is lost";
    return "";
  }

  int index_ = 0;
  bool counting_ = false;
  cudaStream_t stream_ = nullptr;
  Device device_;
  const char* stage_ = "start";
  std::optional<Error> failure_;
};

}  // namespace turboclip::cuda
