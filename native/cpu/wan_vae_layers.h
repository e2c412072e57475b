// The layers of Wan's VAE decoder. Each turns frames into frames; those with causal convolutions remember the
// frames before.
#pragma once

#include <memory>
#include <string>

#include "cpu/conv.h"
#include "cpu/frame_stream.h"
#include "cpu/linear.h"

namespace turboclip::cpu {

/// `in` channels are known when a layer is loaded, its out() after.
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
