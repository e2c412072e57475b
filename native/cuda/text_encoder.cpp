#include "cuda/text_encoder.h"

#include <utility>

#include "engine/umt5_config.h"

namespace turboclip {

Result<CudaTextEncoder> CudaTextEncoder::load(std::shared_ptr<const Library> library, int device,
                                              const Checkpoint& checkpoint, bool int8,
                                              std::int64_t memory_limit) {
  turboclip_cuda_error error{};
  Model model(
      library->load_text_encoder(device, checkpoint.path().c_str(), int8 ? 1 : 0, memory_limit, &error),
      library->free_text_encoder);
  if (model == nullptr) return to_error(error);
  return CudaTextEncoder(std::move(library), std::move(model));
}

Result<Tensor> CudaTextEncoder::encode(std::span<const std::int32_t> ids, const CancelFlag& cancel,
                                       const Progress& progress) {
  const Status valid = check_prompt(ids, vocabulary());
  if (!valid) return valid.error();
  const auto stopped = [](void* user) { return static_cast<const CancelFlag*>(user)->requested ? 1 : 0; };
  const turboclip_cuda_prompt prompt{ids.data(), static_cast<std::int64_t>(ids.size()), stopped,
                                     const_cast<CancelFlag*>(&cancel)};
  Tensor rows({prompt.tokens, width()});
  turboclip_cuda_error error{};
  if (library_->encode(model_.get(), &prompt, rows.data(), &error) == 0) return to_error(error);
  if (progress) progress(1);
  return rows;
}

}  // namespace turboclip
