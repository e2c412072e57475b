#include "cuda/video_decoder.h"

#include <utility>

#include "engine/nv12.h"
#include "engine/text.h"

namespace turboclip {
namespace {

/// What the library calls back with, and what came of it.
struct Call {
  const FrameSink* sink;
  const Nv12Sink* nv12;
  const CancelFlag& cancel;
  const Progress& progress;
  Status taken = success();

  static std::int32_t take(void* user, std::int64_t first, std::int64_t count, std::int64_t height,
                           std::int64_t width, const float* rgb, double done) {
    auto& call = *static_cast<Call*>(user);
    Tensor frames;
    frames.shape = {count, height, width, 3};
    frames.values.assign(rgb, rgb + element_count(frames.shape));
    call.taken = (*call.sink)(first, frames);
    return call.go_on(done);
  }
  static std::int32_t take_nv12(void* user, std::int64_t first, std::int64_t count, std::int64_t height,
                                std::int64_t width, const std::uint8_t* nv12, double done) {
    auto& call = *static_cast<Call*>(user);
    call.taken =
        (*call.nv12)(first, count, {nv12, static_cast<std::size_t>(count * nv12_bytes(height, width))});
    return call.go_on(done);
  }
  static std::int32_t stopped(void* user) { return static_cast<Call*>(user)->cancel.requested ? 1 : 0; }

  std::int32_t go_on(double done) {
    if (taken && progress) progress(done);
    return taken ? 0 : 1;
  }
};

Status run(const Library& library, turboclip_cuda_decoder* model, const Tensor& z, Call& call) {
  if (z.shape.size() != 4 || z.size(0) != kLatentChannels || element_count(z.shape) == 0) {
    return Error{ErrorCode::request_invalid,
                 concat("the latent has shape ", shape_text(z.shape), ", expected [", kLatentChannels,
                        ", frames, height, width]")};
  }
  turboclip_cuda_decoding clip{};
  clip.z = z.data();
  clip.frames = z.size(1);
  clip.height = z.size(2);
  clip.width = z.size(3);
  clip.take = Call::take;
  clip.take_nv12 = call.nv12 == nullptr ? nullptr : Call::take_nv12;
  clip.stopped = Call::stopped;
  clip.user = &call;
  turboclip_cuda_error error{};
  const bool done = library.decode(model, &clip, &error) != 0;
  if (!call.taken) return call.taken;
  return done ? success() : Status(to_error(error));
}

}  // namespace

Result<CudaVideoDecoder> CudaVideoDecoder::load(std::shared_ptr<const Library> library, int device,
                                                const Checkpoint& checkpoint, std::int64_t memory_limit) {
  turboclip_cuda_error error{};
  Model model(library->load_decoder(device, checkpoint.path().c_str(), memory_limit, &error),
              library->free_decoder);
  if (model == nullptr) return to_error(error);
  return CudaVideoDecoder(std::move(library), std::move(model));
}

Status CudaVideoDecoder::decode(const Tensor& z, const FrameSink& sink, const CancelFlag& cancel,
                                const Progress& progress) {
  Call call{&sink, nullptr, cancel, progress};
  return run(*library_, model_.get(), z, call);
}

std::optional<Status> CudaVideoDecoder::decode_nv12(const Tensor& z, const Nv12Sink& sink,
                                                    const CancelFlag& cancel, const Progress& progress) {
  Call call{nullptr, &sink, cancel, progress};
  return run(*library_, model_.get(), z, call);
}

}  // namespace turboclip
