#include <cuda_runtime.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

struct EmulatedStream {
  int device;
};
struct EmulatedEvent {};

/// What a stream does in a graph: some work, or setting an event for the `turn`-th time, or waiting until it
/// was.
struct EmulatedNode {
  std::function<void()> work;
  cudaEvent_t sets = nullptr;
  cudaEvent_t waits = nullptr;
  int turn = 0;
};
/// The streams of a graph, the one whose capture began first: each in order, and in any order to one another
/// but for their events.
struct EmulatedGraph {
  std::vector<std::pair<cudaStream_t, std::vector<EmulatedNode>>> streams;
  std::map<cudaEvent_t, int> turns;  // while it is captured

  std::vector<EmulatedNode>& of(cudaStream_t stream) {
    for (auto& [known, nodes] : streams) {
      if (known == stream) return nodes;
    }
    return streams.emplace_back(stream, std::vector<EmulatedNode>{}).second;
  }
};

namespace {

constexpr std::size_t kSharedWithoutAsking = 48 << 10;
constexpr std::size_t kSharedLimit = 99 << 10;  // an RTX 5090's
constexpr int kDevices = 2;
constexpr std::size_t kDeviceMemory = std::size_t{8} << 30;
constexpr unsigned char kGarbage = 0xdb;

struct Allocation {
  void* mapping;
  std::size_t mapped;
  std::size_t bytes;
};

struct Runtime {
  std::map<void*, Allocation> allocations;
  std::map<const void*, std::size_t> shared_limits;
  std::size_t allocated = 0;
  int calls_until_failure = -1;
  cudaError_t failure = cudaSuccess;
  cudaError_t lost = cudaSuccess;
  bool corrupt_next_download = false;
  std::unique_ptr<EmulatedGraph> capture;  // being recorded
  unsigned launches = 0;                   // of graphs
} runtime;

thread_local int current_device = 0;
/// Models are loaded on several threads.
std::recursive_mutex memory;

/// Runs a graph's streams against one another as far as their events let them: the first one as early as it
/// may, so that the others' work lands as late as it may, or the other way round.
void run_graph(const EmulatedGraph& graph, bool first_early) {
  std::vector<std::size_t> done(graph.streams.size());
  std::map<cudaEvent_t, int> set;
  const auto runs = [&](std::size_t stream) {
    const std::vector<EmulatedNode>& nodes = graph.streams[stream].second;
    if (done[stream] == nodes.size()) return false;
    const EmulatedNode& node = nodes[done[stream]];
    if (node.waits != nullptr && set[node.waits] < node.turn) return false;
    if (node.sets != nullptr) set[node.sets] = node.turn;
    if (node.work) node.work();
    ++done[stream];
    return true;
  };
  bool ran = true;
  while (ran) {
    ran = false;
    for (std::size_t i = 0; i < done.size() && !ran; ++i) ran = runs(first_early ? i : done.size() - 1 - i);
  }
}

std::size_t page() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

}  // namespace

namespace turboclip::emulator {

void fail_runtime_call(int calls, int error) {
  runtime.calls_until_failure = calls;
  runtime.failure = static_cast<cudaError_t>(error);
}

void lose_device(int error) { runtime.lost = static_cast<cudaError_t>(error); }

void corrupt_next_download() { runtime.corrupt_next_download = true; }

void (*before_runtime_call)() = nullptr;

std::size_t allocated_bytes() { return runtime.allocated; }

}  // namespace turboclip::emulator

cudaError_t emulated_call() {
  if (turboclip::emulator::before_runtime_call != nullptr) turboclip::emulator::before_runtime_call();
  if (runtime.lost != cudaSuccess) return runtime.lost;
  if (runtime.calls_until_failure < 0) return cudaSuccess;
  return runtime.calls_until_failure-- == 0 ? runtime.failure : cudaSuccess;
}

cudaError_t emulated_call(cudaStream_t stream) {
  if (stream != nullptr && stream->device != current_device) return cudaErrorInvalidResourceHandle;
  return emulated_call();
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    default:
      break;
  }
  return "unknown error";
}

cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return emulated_call();
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= kDevices) return cudaErrorInvalidDevice;
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulated");
  properties->totalGlobalMem = kDeviceMemory;
  properties->sharedMemPerBlockOptin = kSharedLimit;
  properties->major = 12;
  properties->minor = 0;
  properties->multiProcessorCount = 4;
  properties->l2CacheSize = 1 << 20;
  return emulated_call();
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return cudaErrorInvalidDevice;
  current_device = device;
  return emulated_call();
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return emulated_call();
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  *free_bytes = kDeviceMemory - runtime.allocated;
  *total_bytes = kDeviceMemory;
  return emulated_call();
}

/// The allocation ends where a page begins that faults when touched: an access past the end is a crash, not a
/// wrong number. A GPU aligns to 256 bytes; kernels may count on 16.
cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  const std::lock_guard lock(memory);
  *pointer = nullptr;
  if (runtime.capture) return cudaErrorStreamCaptureUnsupported;
  const cudaError_t called = emulated_call();
  if (called != cudaSuccess) return called;
  const std::size_t rounded = (bytes + 15) / 16 * 16;
  const std::size_t mapped = (rounded + page() - 1) / page() * page() + page();
  void* mapping = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return cudaErrorMemoryAllocation;
  auto* guard = static_cast<unsigned char*>(mapping) + mapped - page();
  if (::mprotect(guard, page(), PROT_NONE) != 0) return cudaErrorMemoryAllocation;
  *pointer = guard - rounded;
  std::memset(*pointer, kGarbage, rounded);
  runtime.allocations[*pointer] = {mapping, mapped, bytes};
  runtime.allocated += bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  const std::lock_guard lock(memory);
  if (pointer == nullptr) return cudaSuccess;
  const auto found = runtime.allocations.find(pointer);
  if (found == runtime.allocations.end()) return cudaErrorInvalidValue;
  ::munmap(found->second.mapping, found->second.mapped);
  runtime.allocated -= found->second.bytes;
  runtime.allocations.erase(found);
  return cudaSuccess;
}

// Pinned memory ends at such a page too, and is none of the device's.
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  const std::lock_guard lock(memory);
  const cudaError_t taken = cudaMalloc(pointer, bytes);
  if (taken == cudaSuccess) runtime.allocated -= bytes;
  return taken;
}
cudaError_t cudaFreeHost(void* pointer) {
  const std::lock_guard lock(memory);
  const auto found = runtime.allocations.find(pointer);
  if (found != runtime.allocations.end()) runtime.allocated += found->second.bytes;
  return cudaFree(pointer);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const cudaError_t called = emulated_call(stream);
  if (called != cudaSuccess || bytes == 0) return called;
  emulated_submit(stream, [=] { std::memcpy(to, from, bytes); });
  if (kind == cudaMemcpyDeviceToHost && std::exchange(runtime.corrupt_next_download, false)) {
    static_cast<unsigned char*>(to)[bytes - 1] ^= 0x40;
  }
  return called;
}

cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  const cudaError_t called = emulated_call(stream);
  if (called == cudaSuccess && bytes > 0)
    emulated_submit(stream, [=] { std::memset(pointer, value, bytes); });
  return called;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = nullptr;
  const cudaError_t called = emulated_call();
  if (called == cudaSuccess) *stream = new EmulatedStream{current_device};
  return called;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
// What would wait for the stream, or allocate, is an error while it is captured.
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return runtime.capture ? cudaErrorStreamCaptureUnsupported : emulated_call(stream);
}

// Outside a graph all work is done at once, and so is all before an event.
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  const cudaError_t called = emulated_call();
  if (called == cudaSuccess) *event = new EmulatedEvent;
  return called;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const cudaError_t called = emulated_call(stream);
  if (called == cudaSuccess && runtime.capture) {
    runtime.capture->of(stream).push_back({{}, event, nullptr, ++runtime.capture->turns[event]});
  }
  return called;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const cudaError_t called = emulated_call(stream);
  if (called == cudaSuccess && runtime.capture) {
    const auto set = runtime.capture->turns.find(event);
    // An event of before the capture is no part of it.
    if (set == runtime.capture->turns.end()) return cudaErrorStreamCaptureIsolation;
    runtime.capture->of(stream).push_back({{}, nullptr, event, set->second});
  }
  return called;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return runtime.capture ? cudaErrorStreamCaptureUnsupported : emulated_call();
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const cudaError_t called = emulated_call(stream);
  if (called != cudaSuccess) return called;
  runtime.capture = std::make_unique<EmulatedGraph>();
  runtime.capture->of(stream);
  return called;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  *graph = runtime.capture.release();
  return emulated_call();
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const cudaError_t called = emulated_call();
  if (called == cudaSuccess) *exec = new EmulatedGraph(*graph);
  return called;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const cudaError_t called = emulated_call(stream);
  if (called != cudaSuccess) return called;
  run_graph(*exec, runtime.launches++ % 2 == 0);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}

void emulated_submit(cudaStream_t stream, std::function<void()> work) {
  if (!runtime.capture) return work();
  runtime.capture->of(stream).push_back({std::move(work), nullptr, nullptr, 0});
}

cudaError_t emulated_shared_limit(const void* kernel, cudaFuncAttribute, int value) {
  const cudaError_t called = emulated_call();
  if (called != cudaSuccess) return called;
  if (static_cast<std::size_t>(value) > kSharedLimit) return cudaErrorInvalidValue;
  runtime.shared_limits[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

bool emulated_shared_allowed(const void* kernel, std::size_t bytes) {
  if (bytes <= kSharedWithoutAsking) return true;
  const auto found = runtime.shared_limits.find(kernel);
  return found != runtime.shared_limits.end() && bytes <= found->second;
}
