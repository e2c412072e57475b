#include "cpu/frame_stream.h"

#include <algorithm>
#include <utility>

#include "engine/text.h"

namespace turboclip::cpu {
namespace {

/// The last frames of x but for the first `dropped`, as the sink takes them.
Tensor to_rgb(Frames x, std::int64_t dropped) {
  const std::int64_t frame_size = x.height * x.width * x.channels;
  x.values.erase(x.values.begin(), x.values.begin() + dropped * frame_size);
  Tensor rgb;
  rgb.shape = {x.count - dropped, x.height, x.width, x.channels};
  rgb.values = std::move(x.values);
  return rgb;
}

}  // namespace

Status stream_frames(const Context& context, const VaeLayers& layers, const FrameStream& stream,
                     const Tensor& z, const FrameSink& sink, const CancelFlag& cancel,
                     const Progress& progress) {
  if (z.shape.size() != 4 || z.size(0) != kLatentChannels || element_count(z.shape) == 0) {
    return Error{ErrorCode::request_invalid,
                 concat("the latent has shape ", shape_text(z.shape), ", expected [", kLatentChannels,
                        ", frames, height, width]")};
  }
  for (const auto& layer : layers) layer->reset();
  std::int64_t made = 0;
  for (std::int64_t t = 0; t < z.size(1); ++t) {
    Frames x = stream.latent_frame(z, t);
    for (const auto& layer : layers) {
      if (cancel.requested) return Error{ErrorCode::cancelled, "cancelled while decoding"};
      x = layer->run(context, std::move(x));
    }
    const std::int64_t dropped = std::clamp<std::int64_t>(stream.dropped - made, 0, x.count);
    const std::int64_t first = std::max<std::int64_t>(0, made - stream.dropped);
    made += x.count;
    const Status taken = sink(first, to_rgb(std::move(x), dropped));
    if (!taken) return taken;
    if (progress) progress(static_cast<double>(t + 1) / static_cast<double>(z.size(1)));
  }
  return success();
}

Frames channels_last(const Tensor& z, std::int64_t t) {
  const std::int64_t channels = z.size(0);
  const std::int64_t pixels = z.size(2) * z.size(3);
  Frames frame(1, z.size(2), z.size(3), channels);
  for (std::int64_t c = 0; c < channels; ++c) {
    const float* plane = z.data() + (c * z.size(1) + t) * pixels;
    for (std::int64_t i = 0; i < pixels; ++i) frame.values[i * channels + c] = plane[i];
  }
  return frame;
}

}  // namespace turboclip::cpu
