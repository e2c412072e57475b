// The layers of Wan's VAE decoder. Each turns frames into frames; those with causal convolutions remember the
// frames before.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cpu/context.h"
#include "cpu/conv.h"
#include "cpu/frames.h"
#include "cpu/linear.h"

namespace turboclip::cpu {

/// One layer of the decoder; `in` channels are known when it is loaded, out() after.
class VaeLayer {
 public:
  virtual ~VaeLayer() = default;
  virtual Frames run(const Context& context, Frames x) = 0;
  virtual void reset() = 0;
  virtual std::int64_t out() const = 0;
  virtual std::int64_t bytes() const = 0;
};

using LoadedLayer = Result<std::unique_ptr<VaeLayer>>;

/// conv3x3x3 of the frames as they are.
LoadedLayer load_conv_layer(const Checkpoint& checkpoint, const std::string& name, std::int64_t in);
/// conv3x3x3(silu(rms_norm(x))), named `<prefix>.<norm>.gamma` and `<prefix>.<conv>`.
LoadedLayer load_normed_conv_layer(const Checkpoint& checkpoint, const std::string& gamma,
                                   const std::string& conv, std::int64_t in);
/// shortcut(x) + normed conv(normed conv(x)).
LoadedLayer load_residual_layer(const Checkpoint& checkpoint, const std::string& prefix, std::int64_t in);
/// x + attention over the pixels of each frame, one head.
LoadedLayer load_frame_attention_layer(const Checkpoint& checkpoint, const std::string& prefix,
                                       std::int64_t in);
/// Doubles height and width, halves the channels; doubles the frames too, but for the first of a clip, where
/// the checkpoint has a time_conv.
LoadedLayer load_upsample_layer(const Checkpoint& checkpoint, const std::string& prefix, std::int64_t in);

}  // namespace turboclip::cpu
