// The video decoder's part of the C interface.
#include <memory>
#include <utility>

#include "cuda/frame_decoder.h"
#include "cuda/library_errors.h"

struct turboclip_cuda_decoder {
  std::unique_ptr<turboclip::cuda::FrameDecoder> model;
};

using turboclip::cuda::guarded;

turboclip_cuda_decoder* turboclip_cuda_load_decoder(std::int32_t device, const char* checkpoint,
                                                    turboclip_cuda_error* error) {
  auto loaded = std::make_unique<turboclip_cuda_decoder>();
  const bool done = guarded(error, [&]() -> turboclip::Status {
    const turboclip::Result<turboclip::Checkpoint> file = turboclip::Checkpoint::open(checkpoint);
    if (!file) return file.error();
    auto model = turboclip::cuda::FrameDecoder::load(device, file.value());
    if (!model) return model.error();
    loaded->model = std::move(model).value();
    return turboclip::success();
  });
  return done ? loaded.release() : nullptr;
}

void turboclip_cuda_free_decoder(turboclip_cuda_decoder* decoder) { delete decoder; }

std::int64_t turboclip_cuda_decoder_bytes(const turboclip_cuda_decoder* decoder) {
  return decoder->model->weight_bytes();
}

std::int32_t turboclip_cuda_decode(turboclip_cuda_decoder* decoder, const turboclip_cuda_decoding* clip,
                                   turboclip_cuda_error* error) {
  return guarded(error, [&]() -> turboclip::Status {
    const auto take = [&](std::int64_t first, const turboclip::Shape& shape, const float* rgb, double done) {
      const bool stop = clip->take(clip->user, first, shape[0], shape[1], shape[2], rgb, done) != 0;
      if (!stop) return turboclip::success();
      return turboclip::Status(
          turboclip::Error{turboclip::ErrorCode::cancelled, "whoever takes the frames wants no more"});
    };
    return decoder->model->decode({clip->z, {clip->frames, clip->height, clip->width}, take, [&] {
                                     return clip->stopped(clip->user) != 0;
                                   }});
  });
}
