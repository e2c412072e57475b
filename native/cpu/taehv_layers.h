// The layers of TAEHV's decoder. Their names are those of the checkpoint, whose numbers count every step of
// the sequence.
#pragma once

#include <memory>
#include <string>

#include "cpu/frame_stream.h"
#include "engine/checkpoint.h"
#include "engine/taehv_weights.h"

namespace turboclip::cpu {

using LoadedTaehvLayer = Result<std::unique_ptr<VaeLayer>>;

/// relu(conv3x3(x)) of `<name>`: the first convolution, 16 latent channels to the widest.
LoadedTaehvLayer load_taehv_input(const Checkpoint& checkpoint, const std::string& name, std::int64_t in);

/// MemBlock: relu(conv(relu(conv(relu(conv([x, past]))))) + x), where past is the block's input one frame
/// before, zeros at the start.
LoadedTaehvLayer load_taehv_memory(const Checkpoint& checkpoint, const std::string& prefix, std::int64_t in);

/// Doubling, TGrow and a 3x3 convolution (engine/taehv_weights.h).
LoadedTaehvLayer load_taehv_grow(const Checkpoint& checkpoint, const TaehvGrow& names, std::int64_t in);

/// conv3x3(relu(x)) to RGB, turned from [0, 1] into [-1, 1].
LoadedTaehvLayer load_taehv_output(const Checkpoint& checkpoint, const std::string& name, std::int64_t in);

}  // namespace turboclip::cpu
