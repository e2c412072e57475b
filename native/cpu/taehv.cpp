#include "cpu/taehv.h"

#include <cmath>
#include <utility>

#include "cpu/frame_stream.h"
#include "cpu/taehv_layers.h"
#include "engine/checkpoint/architecture.h"
#include "engine/text.h"

namespace turboclip::cpu {
namespace {

Frames clamped_frame(const Tensor& z, std::int64_t t) {
  Frames frame = channels_last(z, t);
  for (float& value : frame.values) value = std::tanh(value / kTaehvClamp) * kTaehvClamp;
  return frame;
}

class TaehvDecoder : public VideoDecoder {
 public:
  TaehvDecoder(const Context& context, VaeLayers layers) : context_(context), layers_(std::move(layers)) {}

  Status decode(const Tensor& z, const FrameSink& sink, const CancelFlag& cancel,
                const Progress& progress) override {
    return stream_frames(context_, layers_, {clamped_frame, kTaehvDroppedFrames}, z, sink, cancel, progress);
  }

 private:
  Context context_;
  VaeLayers layers_;
};

/// decoder.1 to decoder.22 in order, each loaded for the channels that the one before it makes.
Result<VaeLayers> load_layers(const Checkpoint& checkpoint) {
  VaeLayers layers;
  Status status = success();
  const auto channels = [&] { return layers.empty() ? kLatentChannels : layers.back()->out(); };
  const auto add = [&](LoadedTaehvLayer layer) {
    if (layer) {
      layers.push_back(std::move(layer).value());
    } else {
      status = layer.error();
    }
  };
  const auto name = [](int number) { return concat("decoder.", number); };
  add(load_taehv_input(checkpoint, name(1), kLatentChannels));
  for (const TaehvLevel& level : kTaehvLevels) {
    for (int i = 0; i < kTaehvBlocks && status; ++i) {
      add(load_taehv_memory(checkpoint, name(level.memory + i), channels()));
    }
    if (status) {
      add(load_taehv_grow(checkpoint, {name(level.grow), name(level.grow + 1), level.stride}, channels()));
    }
  }
  if (status) add(load_taehv_output(checkpoint, name(22), channels()));
  if (!status) return status.error();
  return layers;
}

}  // namespace

Result<std::unique_ptr<VideoDecoder>> load_taehv(const Checkpoint& checkpoint, const Context& context,
                                                 std::int64_t& resident_bytes) {
  const Status known = require_architecture(checkpoint, Architecture::taehv);
  if (!known) return known.error();
  Result<VaeLayers> layers = load_layers(checkpoint);
  if (!layers) return layers.error();
  for (const auto& layer : layers.value()) resident_bytes += layer->bytes();
  return std::unique_ptr<VideoDecoder>(std::make_unique<TaehvDecoder>(context, std::move(layers).value()));
}

}  // namespace turboclip::cpu
