// A video decoder on the device, behind the CUDA library.
#pragma once

#include <memory>

#include "cuda/library_handle.h"
#include "engine/backend.h"

namespace turboclip {

class CudaVideoDecoder : public VideoDecoder {
 public:
  static Result<CudaVideoDecoder> load(std::shared_ptr<const Library> library, int device,
                                       const Checkpoint& checkpoint, std::int64_t memory_limit);

  std::int64_t weight_bytes() const { return library_->decoder_bytes(model_.get()); }
  Status decode(const Tensor& z, const FrameSink& sink, const CancelFlag& cancel,
                const Progress& progress) override;
  std::optional<Status> decode_nv12(const Tensor& z, const Nv12Sink& sink, const CancelFlag& cancel,
                                    const Progress& progress) override;
  std::int64_t device_bytes(const ModelLatentShape& shape) const override {
    return library_->decoding_bytes(model_.get(), shape.frames, shape.height, shape.width);
  }

 private:
  using Model = std::unique_ptr<turboclip_cuda_decoder, decltype(&turboclip_cuda_free_decoder)>;

  CudaVideoDecoder(std::shared_ptr<const Library> library, Model model)
      : library_(std::move(library)), model_(std::move(model)) {}

  std::shared_ptr<const Library> library_;  // outlives the model
  Model model_;
};

}  // namespace turboclip
