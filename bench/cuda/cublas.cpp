#include "cublas.h"

#include <dlfcn.h>

#include <cstddef>

namespace turboclip::bench {
namespace {

// What is needed of cublasLt.h, whose names are long and whose header may not be there
// (https://docs.nvidia.com/cuda/cublas, "Using the cuBLASLt API").
using Handle = void*;
using Description = void*;
constexpr int kInt8 = 3;           // CUDA_R_8I
constexpr int kInt32 = 10;         // CUDA_R_32I
constexpr int kComputeInt32 = 72;  // CUBLAS_COMPUTE_32I
constexpr int kTransposeLeft = 3;  // CUBLASLT_MATMUL_DESC_TRANSA
constexpr std::int32_t kTransposed = 1;
constexpr int kMaxWorkspace = 1;  // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
constexpr std::size_t kWorkspaceBytes = 64 << 20;

struct Algorithm {
  std::uint64_t data[8];
};
struct Heuristic {
  Algorithm algorithm;
  std::size_t workspace;
  int status;
  float waves;
  int reserved[4];
};

}  // namespace

struct Cublas::Library {
  void* file = nullptr;
  Handle handle = nullptr;
  int (*create)(Handle*) = nullptr;
  int (*destroy)(Handle) = nullptr;
  int (*product_create)(Description*, int, int) = nullptr;
  int (*product_destroy)(Description) = nullptr;
  int (*product_set)(Description, int, const void*, std::size_t) = nullptr;
  int (*layout_create)(Description*, int, std::uint64_t, std::uint64_t, std::int64_t) = nullptr;
  int (*layout_destroy)(Description) = nullptr;
  int (*preference_create)(Description*) = nullptr;
  int (*preference_destroy)(Description) = nullptr;
  int (*preference_set)(Description, int, const void*, std::size_t) = nullptr;
  int (*choose)(Handle, Description, Description, Description, Description, Description, Description, int,
                Heuristic*, int*) = nullptr;
  int (*multiply)(Handle, Description, const void*, const void*, Description, const void*, Description,
                  const void*, const void*, Description, void*, Description, const Algorithm*, void*,
                  std::size_t, cudaStream_t) = nullptr;

  template <class Function>
  bool find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(file, name));
    return function != nullptr;
  }
  bool load() {
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"}) {
      if (file == nullptr) file = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    return file != nullptr && find(create, "cublasLtCreate") && find(destroy, "cublasLtDestroy") &&
           find(product_create, "cublasLtMatmulDescCreate") &&
           find(product_destroy, "cublasLtMatmulDescDestroy") &&
           find(product_set, "cublasLtMatmulDescSetAttribute") &&
           find(layout_create, "cublasLtMatrixLayoutCreate") &&
           find(layout_destroy, "cublasLtMatrixLayoutDestroy") &&
           find(preference_create, "cublasLtMatmulPreferenceCreate") &&
           find(preference_destroy, "cublasLtMatmulPreferenceDestroy") &&
           find(preference_set, "cublasLtMatmulPreferenceSetAttribute") &&
           find(choose, "cublasLtMatmulAlgoGetHeuristic") && find(multiply, "cublasLtMatmul") &&
           create(&handle) == 0;
  }
  ~Library() {
    if (handle != nullptr) destroy(handle);
    if (file != nullptr) ::dlclose(file);
  }
};

/// A product in cuBLAS's order: columns are rows here, so W is on the left, transposed.
struct Cublas::Plan {
  Library& library;
  Description product = nullptr, left = nullptr, right = nullptr, out = nullptr;
  Heuristic best{};
  void* workspace = nullptr;

  explicit Plan(Library& of) : library(of) {}
  bool make(std::int64_t rows, std::int64_t outputs, std::int64_t inputs) {
    const auto m = static_cast<std::uint64_t>(outputs);
    const auto n = static_cast<std::uint64_t>(rows);
    const auto k = static_cast<std::uint64_t>(inputs);
    Description preference = nullptr;
    int found = 0;
    const bool good =
        cudaMalloc(&workspace, kWorkspaceBytes) == cudaSuccess &&
        library.product_create(&product, kComputeInt32, kInt32) == 0 &&
        library.product_set(product, kTransposeLeft, &kTransposed, sizeof kTransposed) == 0 &&
        library.layout_create(&left, kInt8, k, m, inputs) == 0 &&
        library.layout_create(&right, kInt8, k, n, inputs) == 0 &&
        library.layout_create(&out, kInt32, m, n, outputs) == 0 &&
        library.preference_create(&preference) == 0 &&
        library.preference_set(preference, kMaxWorkspace, &kWorkspaceBytes, sizeof kWorkspaceBytes) == 0 &&
        library.choose(library.handle, product, left, right, out, out, preference, 1, &best, &found) == 0;
    if (preference != nullptr) library.preference_destroy(preference);
    return good && found == 1;
  }
  ~Plan() {
    if (product != nullptr) library.product_destroy(product);
    for (Description layout : {left, right, out}) {
      if (layout != nullptr) library.layout_destroy(layout);
    }
    cudaFree(workspace);
  }
};

Cublas::Cublas() : library_(std::make_unique<Library>()) {}
Cublas::~Cublas() { plan_.reset(); }

std::unique_ptr<Cublas> Cublas::open() {
  std::unique_ptr<Cublas> opened(new Cublas);
  if (!opened->library_->load()) return nullptr;
  return opened;
}

bool Cublas::prepare(std::int64_t rows, std::int64_t out, std::int64_t in) {
  plan_ = std::make_unique<Plan>(*library_);
  return plan_->make(rows, out, in);
}

void Cublas::multiply(cuda::Queue& queue, const std::int8_t* x, const std::int8_t* w, std::int32_t* y) {
  const std::int32_t one = 1;
  const std::int32_t zero = 0;
  const int status = library_->multiply(
      library_->handle, plan_->product, &one, w, plan_->left, x, plan_->right, &zero, y, plan_->out, y,
      plan_->out, &plan_->best.algorithm, plan_->workspace, kWorkspaceBytes, queue.stream());
  if (status != 0) queue.check("cublasLtMatmul", cudaErrorUnknown);
}

}  // namespace turboclip::bench
