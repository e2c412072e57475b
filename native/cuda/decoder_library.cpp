// The video decoder's part of the C interface.
#include <memory>
#include <mutex>
#include <utility>

#include "cuda/frame_decoder.h"
#include "cuda/library_errors.h"

struct turboclip_cuda_decoder {
  std::unique_ptr<turboclip::cuda::FrameDecoder> model;
};

using turboclip::cuda::guarded;

turboclip_cuda_decoder* turboclip_cuda_load_decoder(std::int32_t device, const char* checkpoint,
                                                    std::int64_t memory_limit, turboclip_cuda_error* error) {
  auto loaded = std::make_unique<turboclip_cuda_decoder>();
  const bool done = guarded(error, [&]() -> turboclip::Status {
    const turboclip::Result<turboclip::Checkpoint> file = turboclip::Checkpoint::open(checkpoint);
    if (!file) return file.error();
    auto model = turboclip::cuda::FrameDecoder::load(device, file.value(), memory_limit);
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

std::int64_t turboclip_cuda_decoding_bytes(turboclip_cuda_decoder* decoder, std::int64_t frames,
                                           std::int64_t height, std::int64_t width) {
  const std::lock_guard lock(decoder->model->computing());
  return decoder->model->clip_bytes({frames, height, width});
}

std::int32_t turboclip_cuda_decode(turboclip_cuda_decoder* decoder, const turboclip_cuda_decoding* clip,
                                   turboclip_cuda_error* error) {
  return guarded(error, [&]() -> turboclip::Status {
    const auto stopped_or = [](bool stop) {
      if (!stop) return turboclip::success();
      return turboclip::Status(
          turboclip::Error{turboclip::ErrorCode::cancelled, "whoever takes the frames wants no more"});
    };
    turboclip::cuda::FrameDecoder::Clip decoding{
        clip->z, {clip->frames, clip->height, clip->width}, {}, {}, {}};
    decoding.take = [&](std::int64_t first, const turboclip::Shape& shape, const float* rgb, double done) {
      return stopped_or(clip->take(clip->user, first, shape[0], shape[1], shape[2], rgb, done) != 0);
    };
    decoding.stopped = [&] { return clip->stopped(clip->user) != 0; };
    if (clip->take_nv12 != nullptr) {
      decoding.take_nv12 = [&](std::int64_t first, const turboclip::Shape& shape, const std::uint8_t* nv12,
                               double done) {
        return stopped_or(clip->take_nv12(clip->user, first, shape[0], shape[1], shape[2], nv12, done) != 0);
      };
    }
    const std::lock_guard lock(decoder->model->computing());
    return decoder->model->decode(decoding);
  });
}
