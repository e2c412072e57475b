#include "cuda/video_decoder.h"

#include <algorithm>
#include <utility>

#include "engine/text.h"

namespace turboclip {
namespace {

/// What the library calls back with, and what came of it.
struct Call {
  const FrameSink& sink;
  const CancelFlag& cancel;
  const Progress& progress;
  Status taken = success();

  static std::int32_t take(void* user, std::int64_t first, std::int64_t count, std::int64_t height,
                           std::int64_t width, const float* rgb, double done) {
    auto& call = *static_cast<Call*>(user);
    Tensor frames;
    frames.shape = {count, height, width, 3};
    frames.values.assign(rgb, rgb + element_count(frames.shape));
    call.taken = call.sink(first, frames);
    if (call.taken && call.progress) call.progress(done);
    return call.taken ? 0 : 1;
  }
  static std::int32_t stopped(void* user) { return static_cast<Call*>(user)->cancel.requested ? 1 : 0; }
};

}  // namespace

Result<CudaVideoDecoder> CudaVideoDecoder::load(std::shared_ptr<const Library> library, int device,
                                                const Checkpoint& checkpoint) {
  turboclip_cuda_error error{};
  Model model(library->load_decoder(device, checkpoint.path().c_str(), &error), library->free_decoder);
  if (model == nullptr) return to_error(error);
  return CudaVideoDecoder(std::move(library), std::move(model));
}

Status CudaVideoDecoder::decode(const Tensor& z, const FrameSink& sink, const CancelFlag& cancel,
                                const Progress& progress) {
  if (z.shape.size() != 4 || z.size(0) != kLatentChannels || element_count(z.shape) == 0) {
    return Error{ErrorCode::request_invalid,
                 concat("the latent has shape ", shape_text(z.shape), ", expected [", kLatentChannels,
                        ", frames, height, width]")};
  }
  Call call{sink, cancel, progress};
  const turboclip_cuda_decoding clip{z.data(),   z.size(1),     z.size(2), z.size(3),
                                     Call::take, Call::stopped, &call};
  turboclip_cuda_error error{};
  const bool done = library_->decode(model_.get(), &clip, &error) != 0;
  if (!call.taken) return call.taken;
  return done ? success() : Status(to_error(error));
}

}  // namespace turboclip
