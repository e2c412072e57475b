// Weights that are small enough to be float32 on the host for a moment.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cuda/queue.h"
#include "engine/checkpoint.h"

namespace turboclip::cuda {

/// Reads tensor after tensor and remembers the first failure, of the file or of the queue; what follows it is
/// skipped.
class TensorReader {
 public:
  TensorReader(Queue& queue, const Checkpoint& checkpoint) : queue_(queue), checkpoint_(checkpoint) {}

  std::vector<float> vector(const std::string& name, const Shape& shape) {
    if (!status()) return {};
    Result<Tensor> tensor = checkpoint_.require_float(name, shape);
    if (tensor) return std::move(tensor->values);
    fail(tensor.error());
    return {};
  }

  Status status() const {
    if (failure_) return *failure_;
    return queue_.status();
  }

 protected:
  void fail(const Error& error) { failure_ = error; }

  Queue& queue_;
  const Checkpoint& checkpoint_;

 private:
  std::optional<Error> failure_;
};

}  // namespace turboclip::cuda
