// The text encoder's part of the C interface.
#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "cuda/library_errors.h"
#include "cuda/umt5_encoder.h"

struct turboclip_cuda_text_encoder {
  std::unique_ptr<turboclip::cuda::Umt5Encoder> model;
};

using turboclip::cuda::guarded;

namespace {

turboclip::cuda::TextPrecision precision_of(std::int32_t int8) {
  return int8 != 0 ? turboclip::cuda::TextPrecision::int8 : turboclip::cuda::TextPrecision::bf16;
}

}  // namespace

turboclip_cuda_text_encoder* turboclip_cuda_load_text_encoder(std::int32_t device, const char* checkpoint,
                                                              std::int32_t int8, std::int64_t memory_limit,
                                                              turboclip_cuda_error* error) {
  auto loaded = std::make_unique<turboclip_cuda_text_encoder>();
  const bool done = guarded(error, [&]() -> turboclip::Status {
    const turboclip::Result<turboclip::Checkpoint> file = turboclip::Checkpoint::open(checkpoint);
    if (!file) return file.error();
    const std::lock_guard lock(turboclip::cuda::holdings_of(device).computing);
    auto model = turboclip::cuda::Umt5Encoder::load(device, file.value(), precision_of(int8), memory_limit);
    if (!model) return model.error();
    loaded->model = std::move(model).value();
    return turboclip::success();
  });
  return done ? loaded.release() : nullptr;
}

void turboclip_cuda_free_text_encoder(turboclip_cuda_text_encoder* encoder) { delete encoder; }

turboclip_cuda_text_config turboclip_cuda_text_config_of(const turboclip_cuda_text_encoder* encoder) {
  return {encoder->model->width(), encoder->model->vocabulary(), encoder->model->weight_bytes()};
}

std::int32_t turboclip_cuda_encode(turboclip_cuda_text_encoder* encoder, const turboclip_cuda_prompt* prompt,
                                   float* rows, turboclip_cuda_error* error) {
  return guarded(error, [&]() -> turboclip::Status {
    const std::lock_guard lock(encoder->model->computing());
    const auto result = encoder->model->encode({prompt->ids, static_cast<std::size_t>(prompt->tokens)},
                                               [&] { return prompt->stopped(prompt->user) != 0; });
    if (!result) return result.error();
    std::copy(result.value().values.begin(), result.value().values.end(), rows);
    return turboclip::success();
  });
}
