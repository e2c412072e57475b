#include "cuda/frame_decoder.h"

#include <algorithm>
#include <utility>

#include "cuda/device_plan.h"
#include "cuda/nv12.h"
#include "cuda/video_passes.h"
#include "engine/nv12.h"
#include "engine/text.h"
#include "engine/wan_latent.h"

namespace turboclip::cuda {
namespace {

/// So that a pixel's number, times its channels, is an int in the kernels.
constexpr std::int64_t kMostPixels = std::int64_t{1} << 24;

Status check_shape(const ModelLatentShape& shape) {
  const std::int64_t factor = kSpatialFactor * kSpatialFactor;
  if (shape.frames < 1 || shape.height < 1 || shape.width < 1 || shape.frames > kMostPixels ||
      shape.height > kMostPixels || shape.width > kMostPixels / factor / shape.height) {
    return Error{ErrorCode::request_invalid,
                 concat("the latent has ", shape.frames, " frames of ", shape.height, " x ", shape.width,
                        ": the device's decoder takes at least one of each, and up to ", kMostPixels / factor,
                        " values a frame and channel")};
  }
  return success();
}

/// What lies behind the layers' frames: the latent and a latent frame's frames in both forms.
struct Tail {
  std::int64_t latent = 0;
  std::int64_t pixels = 0;

  Tail(const VideoModel& model, const ModelLatentShape& shape)
      : latent(kLatentChannels * shape.frames * shape.height * shape.width),
        pixels(std::max(model.first_makes, model.latent_makes) * model.last->size().pixels()) {}
  template <class Buffers>
  std::int64_t place(unsigned char* base, Buffers& to) const {
    Placing where(base);
    to.z = where.next<float>(latent);
    to.rgb = where.next<float>(3 * pixels);
    to.nv12 = where.next<std::uint8_t>(nv12_bytes(pixels, 1));
    to.not_numbers = where.next<std::uint32_t>(1);
    return where.bytes();
  }
};

struct CountedBuffers {
  float *z, *rgb;
  std::uint8_t* nv12;
  std::uint32_t* not_numbers;
};

}  // namespace

std::int64_t VideoModel::weight_bytes() const {
  std::int64_t total = 0;
  for (const auto& layer : layers) total += layer->weight_bytes();
  return total;
}

void VideoModel::link(RgbLayer* rgb) {
  last = rgb;
  for (std::size_t i = 0; i + 1 < layers.size(); ++i) layers[i]->set_next(layers[i + 1].get());
}

void VideoModel::place(Arena& arena, const ModelLatentShape& shape) {
  Handed handed{
      {static_cast<int>(shape.height), static_cast<int>(shape.width), static_cast<int>(kLatentChannels)}};
  for (const auto& layer : layers) {
    layer->reset();
    handed = layer->place(arena, handed);
  }
}

std::int64_t decoding_bytes(VideoModel& model, const ModelLatentShape& shape) {
  Arena counted;
  model.place(counted, shape);
  CountedBuffers nowhere{};
  return Arena::aligned(counted.bytes()) + Tail(model, shape).place(nullptr, nowhere);
}

Result<std::unique_ptr<FrameDecoder>> FrameDecoder::load(int device, const Checkpoint& checkpoint,
                                                         std::int64_t memory_limit) {
  auto queue = std::make_unique<Queue>();
  const Status opened = queue->open(device);
  if (!opened) return opened.error();
  queue->enter("load");
  Result<VideoModel> model = load_video_model(*queue, checkpoint);
  if (!model) return model.error();
  const Status loaded = queue->finish();
  if (!loaded) return loaded.error();
  return std::unique_ptr<FrameDecoder>(
      new FrameDecoder(std::move(queue), MemoryShare(memory_limit, device), std::move(model).value()));
}

std::int64_t FrameDecoder::count_of(std::int64_t latent) const {
  return latent == 0 ? model_.first_makes - model_.dropped : model_.latent_makes;
}
std::int64_t FrameDecoder::first_of(std::int64_t latent) const {
  return latent == 0 ? 0 : count_of(0) + (latent - 1) * model_.latent_makes;
}
Shape FrameDecoder::rgb_shape(std::int64_t latent) const {
  const FrameSize& size = model_.last->size();
  return {count_of(latent), size.height, size.width, 3};
}

std::int64_t FrameDecoder::frame_bytes(bool nv12) const {
  const FrameSize& size = model_.last->size();
  if (nv12) return nv12_bytes(size.height, size.width);
  return 3 * size.pixels() * static_cast<std::int64_t>(sizeof(float));
}

const std::vector<FrameDecoder::Landing>& FrameDecoder::landings(bool nv12) {
  const std::int64_t most = std::max(count_of(0), model_.latent_makes) * frame_bytes(nv12);
  if (landings_.empty() || landings_[0].frames.bytes() != most + Landing::kFlagBytes) {
    landings_.clear();
    for (int i = 0; i < 2; ++i) landings_.emplace_back(*queue_, most);
    if (!queue_->status()) landings_.clear();
  }
  return landings_;
}

Status FrameDecoder::decode(const Clip& clip) {
  const Status valid = check_shape(clip.shape);
  if (!valid) return valid;
  queue_->enter("decode");
  const std::int64_t bytes = clip_bytes(clip.shape);
  const Result<std::int64_t> available = memory_.available(*queue_);
  if (!available) return available.error();
  if (bytes > available.value()) {
    return too_little(concat("decoding ", clip_words(clip.shape)), bytes, available.value(),
                      "ask for a smaller size, decode by TAEHV, or give the engine more of the card");
  }
  unsigned char* memory = memory_.take_scratch(*queue_, bytes);
  if (memory == nullptr) return queue_->status();
  Arena counted;
  model_.place(counted, clip.shape);
  Arena arena(memory, counted);
  model_.place(arena, clip.shape);
  // The arena's own end is known; behind it lie the latent and the frames.
  Buffers buffers{};
  const Tail tail(model_, clip.shape);
  tail.place(memory + Arena::aligned(counted.bytes()), buffers);
  queue_->copy("latent", buffers.z, clip.z, static_cast<std::size_t>(tail.latent) * sizeof(float),
               cudaMemcpyHostToDevice);
  const Status streamed = stream(clip, buffers);
  // What is under way ends before its memory goes.
  const Status finished = queue_->finish();
  return streamed ? finished : streamed;
}

/// While the sink has the frames of one latent frame, the device makes those of the next.
Status FrameDecoder::stream(const Clip& clip, const Buffers& buffers) {
  const std::vector<Landing>& places = landings(static_cast<bool>(clip.take_nv12));
  if (!queue_->status()) return queue_->status();
  for (std::int64_t t = 0; t < clip.shape.frames && queue_->status(); ++t) {
    if (clip.stopped()) return Error{ErrorCode::cancelled, "cancelled while decoding"};
    latent_frame(*queue_, buffers.z, t, clip.shape.frames, clip.shape.height * clip.shape.width, model_.clamp,
                 model_.layers.front()->input(0));
    model_.last->set_output(buffers.rgb);
    model_.layers.front()->run(*queue_, 1);
    send(clip, t, buffers, places[static_cast<std::size_t>(t % 2)]);
    if (t == 0) continue;
    const Status taken = deliver(clip, places[static_cast<std::size_t>((t - 1) % 2)], t - 1);
    if (!taken) return taken;
  }
  return deliver(clip, places[static_cast<std::size_t>((clip.shape.frames - 1) % 2)], clip.shape.frames - 1);
}

/// Starts a latent frame's frames on their way to the host.
void FrameDecoder::send(const Clip& clip, std::int64_t latent, const Buffers& buffers,
                        const Landing& landing) {
  const FrameSize& size = model_.last->size();
  const std::int64_t dropped = latent == 0 ? model_.dropped : 0;
  const float* rgb = buffers.rgb + dropped * 3 * size.pixels();
  const void* from = rgb;
  if (clip.take_nv12) {
    if (queue_->status()) {
      queue_->check("a flag",
                    cudaMemsetAsync(buffers.not_numbers, 0, sizeof(std::uint32_t), queue_->stream()));
    }
    frames_to_nv12(*queue_, rgb, count_of(latent), size.height, size.width, buffers.nv12,
                   buffers.not_numbers);
    queue_->copy("a flag", &landing.not_numbers(), buffers.not_numbers, sizeof(std::uint32_t),
                 cudaMemcpyDeviceToHost);
    from = buffers.nv12;
  }
  queue_->copy("frames", landing.frames.data(), from,
               static_cast<std::size_t>(count_of(latent) * frame_bytes(static_cast<bool>(clip.take_nv12))),
               cudaMemcpyDeviceToHost);
  landing.arrived.set(*queue_);
}

Status FrameDecoder::deliver(const Clip& clip, const Landing& landing, std::int64_t latent) {
  landing.arrived.wait(*queue_);
  if (!queue_->status()) return queue_->status();
  if (clip.take_nv12 && landing.not_numbers() != 0) {
    return Error{
        ErrorCode::internal,
        "the video decoder produced values that are no numbers; verify its checkpoint, the weights may be "
        "damaged"};
  }
  const double done = static_cast<double>(latent + 1) / static_cast<double>(clip.shape.frames);
  const unsigned char* values = landing.frames.data();
  if (clip.take_nv12) return clip.take_nv12(first_of(latent), rgb_shape(latent), values, done);
  return clip.take(first_of(latent), rgb_shape(latent), reinterpret_cast<const float*>(values), done);
}

}  // namespace turboclip::cuda
