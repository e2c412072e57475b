// cuBLAS's INT8 product as a yardstick, where its library is: opened at run time, nothing is linked.
#pragma once

#include <cstdint>
#include <memory>

#include "cuda/queue.h"

namespace turboclip::bench {

class Cublas {
 public:
  /// nullptr where no libcublasLt can be opened.
  static std::unique_ptr<Cublas> open();
  ~Cublas();

  /// Chooses how to compute y [rows, out] = x [rows, in] w [out, in]^T with int32 sums. False if it cannot.
  bool prepare(std::int64_t rows, std::int64_t out, std::int64_t in);
  /// Computes what was prepared. Scales, bias and what follows them are not part of it.
  void multiply(cuda::Queue& queue, const std::int8_t* x, const std::int8_t* w, std::int32_t* y);

 private:
  struct Library;
  struct Plan;
  Cublas();
  std::unique_ptr<Library> library_;
  std::unique_ptr<Plan> plan_;
};

}  // namespace turboclip::bench
