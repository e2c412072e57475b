// umT5 behind the C interface, as the engine's text encoder.
#pragma once

#include <memory>

#include "cuda/library_handle.h"
#include "engine/backend.h"

namespace turboclip {

class CudaTextEncoder : public TextEncoder {
 public:
  /// int8: weights quantised to INT8, or as bfloat16. memory_limit: as of turboclip_cuda_load().
  static Result<CudaTextEncoder> load(std::shared_ptr<const Library> library, int device,
                                      const Checkpoint& checkpoint, bool int8, std::int64_t memory_limit);

  std::int64_t width() const override { return sizes_.width; }
  std::int64_t vocabulary() const override { return sizes_.vocabulary; }
  /// Bytes of device memory.
  std::int64_t weight_bytes() const { return sizes_.weight_bytes; }

  Result<Tensor> encode(std::span<const std::int32_t> ids, const CancelFlag& cancel,
                        const Progress& progress) override;

 private:
  using Model = std::unique_ptr<turboclip_cuda_text_encoder, decltype(&turboclip_cuda_free_text_encoder)>;
  CudaTextEncoder(std::shared_ptr<const Library> library, Model model)
      : library_(std::move(library)),
        model_(std::move(model)),
        sizes_(library_->text_config_of(model_.get())) {}

  std::shared_ptr<const Library> library_;
  Model model_;
  turboclip_cuda_text_config sizes_;
};

}  // namespace turboclip
