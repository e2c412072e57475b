// The part of CUDA's runtime that native/cuda uses, over the emulated machine. Work is done at once and in
// order; device memory is the host's.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

#include "machine.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __grid_constant__

namespace turboclip::emulator {

/// threadIdx and its like: what they say depends on who asks.
struct Axis {
  dim3 Place::*which;
  unsigned dim3::*axis;
  operator unsigned() const { return place().*which.*axis; }
};
struct Index {
  Axis x, y, z;
  constexpr explicit Index(dim3 Place::*which) : x{which, &dim3::x}, y{which, &dim3::y}, z{which, &dim3::z} {}
};

}  // namespace turboclip::emulator

inline constexpr turboclip::emulator::Index threadIdx(&turboclip::emulator::Place::thread);
inline constexpr turboclip::emulator::Index blockIdx(&turboclip::emulator::Place::block);
inline constexpr turboclip::emulator::Index gridDim(&turboclip::emulator::Place::grid_size);

struct alignas(8) uint2 {
  std::uint32_t x, y;
};
struct alignas(16) uint4 {
  std::uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline uint2 make_uint2(std::uint32_t x, std::uint32_t y) { return {x, y}; }
inline uint4 make_uint4(std::uint32_t x, std::uint32_t y, std::uint32_t z, std::uint32_t w) {
  return {x, y, z, w};
}
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

inline void __syncthreads() { ::turboclip::emulator::block_barrier(); }
inline void __syncwarp() {
  ::turboclip::emulator::with_warp("syncwarp", nullptr, [](void* const*) {});
}

template <class Value>
Value __shfl_sync(unsigned, Value value, int source) {
  struct Lane {
    Value in;
    int source;
    Value out;
  } mine{value, source, value};
  ::turboclip::emulator::with_warp("shfl", &mine, [](void* const* slots) {
    for (int i = 0; i < 32; ++i) {
      auto* to = static_cast<Lane*>(slots[i]);
      to->out = static_cast<Lane*>(slots[to->source & 31])->in;
    }
  });
  return mine.out;
}
template <class Value>
Value __shfl_xor_sync(unsigned mask, Value value, int bits) {
  return __shfl_sync(mask, value, ::turboclip::emulator::lane() ^ bits);
}

inline unsigned __ballot_sync(unsigned, bool mine) {
  struct Lane {
    bool in;
    unsigned out;
  } lane{mine, 0};
  ::turboclip::emulator::with_warp("ballot", &lane, [](void* const* slots) {
    unsigned bits = 0;
    for (int i = 0; i < 32; ++i) bits |= static_cast<Lane*>(slots[i])->in ? 1u << i : 0u;
    for (int i = 0; i < 32; ++i) static_cast<Lane*>(slots[i])->out = bits;
  });
  return lane.out;
}
inline bool __any_sync(unsigned mask, bool mine) { return __ballot_sync(mask, mine) != 0; }

inline int __popc(unsigned bits) { return std::popcount(bits); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
/// Four of the eight bytes of x and y (the latter's from 4 on), by the selector's nibbles.
inline std::uint32_t __byte_perm(std::uint32_t x, std::uint32_t y, std::uint32_t selector) {
  const std::uint64_t bytes = static_cast<std::uint64_t>(y) << 32 | x;
  std::uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    out |= static_cast<std::uint32_t>(bytes >> (8 * (selector >> (4 * i) & 7)) & 0xff) << (8 * i);
  }
  return out;
}
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }
inline float __int_as_float(int bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline float __uint_as_float(unsigned bits) { return __int_as_float(static_cast<int>(bits)); }
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorECCUncorrectable = 214,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchTimeout = 702,
  cudaErrorHardwareStackError = 714,
  cudaErrorIllegalInstruction = 715,
  cudaErrorMisalignedAddress = 716,
  cudaErrorInvalidAddressSpace = 717,
  cudaErrorInvalidPc = 718,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorExternalDevice = 911,
  cudaErrorUnknown = 999,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
using cudaStream_t = struct EmulatedStream*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphExec_t = struct EmulatedGraph*;
using cudaEvent_t = struct EmulatedEvent*;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaStreamNonBlocking = 1;
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  std::size_t sharedMemPerBlockOptin;
  int major, minor, multiProcessorCount, l2CacheSize;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  void* attrs = nullptr;
  unsigned numAttrs = 0;
};

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes);
cudaError_t cudaMalloc(void** pointer, std::size_t bytes);
cudaError_t cudaFree(void* pointer);
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes);
cudaError_t cudaFreeHost(void* pointer);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreate(cudaStream_t* stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
/// Runs the work, or keeps it while a graph is captured.
void emulated_submit(cudaStream_t stream, std::function<void()> work);
/// As a call on the stream answers: it belongs to the device that was the thread's when it was created.
cudaError_t emulated_call(cudaStream_t stream);
cudaError_t emulated_call();
cudaError_t emulated_shared_limit(const void* kernel, cudaFuncAttribute attribute, int value);
bool emulated_shared_allowed(const void* kernel, std::size_t bytes);

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  return emulated_shared_limit(reinterpret_cast<const void*>(kernel), attribute, value);
}
template <class... Expected, class... Given>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Expected...),
                               Given&&... arguments) {
  const cudaError_t called = emulated_call(config->stream);
  if (called != cudaSuccess) return called;
  if (!emulated_shared_allowed(reinterpret_cast<const void*>(kernel), config->dynamicSmemBytes)) {
    return cudaErrorInvalidValue;
  }
  // By value, as a launch takes its arguments: a graph runs it again when they are gone.
  emulated_submit(config->stream,
                  [grid = config->gridDim, block = config->blockDim, shared = config->dynamicSmemBytes,
                   kernel, ... values = static_cast<Expected>(arguments)] {
                    ::turboclip::emulator::run_grid(grid, block, shared, [&] { kernel(values...); });
                  });
  return cudaSuccess;
}
