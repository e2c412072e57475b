#include "cuda/frame_decoder.h"

#include <algorithm>
#include <utility>

#include "cuda/video_passes.h"
#include "engine/text.h"
#include "engine/wan_latent.h"

namespace turboclip::cuda {
namespace {

constexpr std::int64_t kMebibyte = std::int64_t{1} << 20;
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

/// Memory of the host that the device copies to by itself.
class Pinned {
 public:
  Pinned(Queue& queue, std::int64_t values) {
    void* pointer = nullptr;
    queue.check("pinned memory", cudaMallocHost(&pointer, static_cast<std::size_t>(values) * sizeof(float)));
    values_ = static_cast<float*>(pointer);
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { cudaFreeHost(values_); }
  float* data() const { return values_; }

 private:
  float* values_ = nullptr;
};

/// A mark in the queue that the host can wait for.
class Mark {
 public:
  explicit Mark(Queue& queue) {
    queue.check("an event", cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
  }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  ~Mark() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  void set(Queue& queue) const {
    if (queue.status()) queue.check("an event", cudaEventRecord(event_, queue.stream()));
  }
  void wait(Queue& queue) const {
    if (queue.status()) queue.check("the frames so far", cudaEventSynchronize(event_));
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

struct FrameDecoder::Landing {
  Pinned rgb;
  Mark arrived;

  Landing(Queue& queue, std::int64_t values) : rgb(queue, values), arrived(queue) {}
};

std::int64_t VideoModel::weight_bytes() const {
  std::int64_t total = 0;
  for (const auto& layer : layers) total += layer->weight_bytes();
  return total;
}

void VideoModel::link(RgbLayer* rgb) {
  last = rgb;
  for (std::size_t i = 0; i + 1 < layers.size(); ++i) layers[i]->set_next(layers[i + 1].get());
}

Result<std::unique_ptr<FrameDecoder>> FrameDecoder::load(int device, const Checkpoint& checkpoint) {
  auto queue = std::make_unique<Queue>();
  const Status opened = queue->open(device);
  if (!opened) return opened.error();
  queue->enter("load");
  Result<VideoModel> model = load_video_model(*queue, checkpoint);
  if (!model) return model.error();
  const Status loaded = queue->finish();
  if (!loaded) return loaded.error();
  return std::unique_ptr<FrameDecoder>(new FrameDecoder(std::move(queue), std::move(model).value()));
}

Handed FrameDecoder::place(Arena& arena, const ModelLatentShape& shape) {
  Handed handed{
      {static_cast<int>(shape.height), static_cast<int>(shape.width), static_cast<int>(kLatentChannels)}};
  for (const auto& layer : model_.layers) {
    layer->reset();
    handed = layer->place(arena, handed);
  }
  return handed;
}

std::int64_t FrameDecoder::clip_bytes(const ModelLatentShape& shape) {
  Arena counted;
  place(counted, shape);
  counted.keep(kLatentChannels * shape.frames * shape.height * shape.width * 4);
  counted.keep(std::max(model_.first_makes, model_.latent_makes) * 3 * model_.last->size().pixels() * 4);
  return counted.bytes();
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

Status FrameDecoder::decode(const Clip& clip) {
  const Status valid = check_shape(clip.shape);
  if (!valid) return valid;
  queue_->enter("decode");
  const std::int64_t bytes = clip_bytes(clip.shape);
  DeviceArray<unsigned char> memory;
  memory.allocate(*queue_, bytes);
  if (!queue_->status()) {
    const Error error = queue_->status().error();
    if (error.code != ErrorCode::out_of_memory) return error;
    return Error{error.code, concat("CUDA, decode: frames of ", clip.shape.width * kSpatialFactor, " x ",
                                    clip.shape.height * kSpatialFactor, " take ", ceil_div(bytes, kMebibyte),
                                    " MiB of device memory beside the models, and the card is out of memory;"
                                    " ask for a smaller clip, or free the card's memory")};
  }
  Arena counted;
  place(counted, clip.shape);
  Arena arena(memory.data(), counted);
  place(arena, clip.shape);
  // The arena's own end is known; behind it lie the latent and the frames.
  auto* z = reinterpret_cast<float*>(memory.data() + counted.bytes());
  const std::int64_t values = kLatentChannels * clip.shape.frames * clip.shape.height * clip.shape.width;
  auto* rgb = reinterpret_cast<float*>(memory.data() + counted.bytes() + Arena::aligned(values * 4));
  queue_->copy("latent", z, clip.z, static_cast<std::size_t>(values) * sizeof(float), cudaMemcpyHostToDevice);
  const Status streamed = stream(clip, z, rgb);
  // What is under way ends before its memory goes.
  const Status finished = queue_->finish();
  return streamed ? finished : streamed;
}

/// While the sink has the frames of one latent frame, the device makes those of the next.
Status FrameDecoder::stream(const Clip& clip, const float* z, float* rgb) {
  const std::int64_t frame_values = 3 * model_.last->size().pixels();
  const std::int64_t most = std::max(count_of(0), model_.latent_makes) * frame_values;
  const Landing landings[2] = {{*queue_, most}, {*queue_, most}};
  for (std::int64_t t = 0; t < clip.shape.frames && queue_->status(); ++t) {
    if (clip.stopped()) return Error{ErrorCode::cancelled, "cancelled while decoding"};
    latent_frame(*queue_, z, t, clip.shape.frames, clip.shape.height * clip.shape.width, model_.clamp,
                 model_.layers.front()->input(0));
    model_.last->set_output(rgb);
    model_.layers.front()->run(*queue_, 1);
    const std::int64_t dropped = t == 0 ? model_.dropped : 0;
    const Landing& landing = landings[t % 2];
    queue_->copy("frames", landing.rgb.data(), rgb + dropped * frame_values,
                 static_cast<std::size_t>(count_of(t) * frame_values) * sizeof(float),
                 cudaMemcpyDeviceToHost);
    landing.arrived.set(*queue_);
    if (t == 0) continue;
    const Status taken = deliver(clip, landings[(t - 1) % 2], t - 1);
    if (!taken) return taken;
  }
  return deliver(clip, landings[(clip.shape.frames - 1) % 2], clip.shape.frames - 1);
}

Status FrameDecoder::deliver(const Clip& clip, const Landing& landing, std::int64_t latent) {
  landing.arrived.wait(*queue_);
  if (!queue_->status()) return queue_->status();
  return clip.take(first_of(latent), rgb_shape(latent), landing.rgb.data(),
                   static_cast<double>(latent + 1) / static_cast<double>(clip.shape.frames));
}

}  // namespace turboclip::cuda
