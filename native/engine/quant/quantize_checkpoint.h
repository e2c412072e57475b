// Makes a -quant checkpoint: the linear layers of a transformer's blocks in the INT8 form of int8_blocks.h.
#pragma once

#include <filesystem>

#include "engine/backend.h"
#include "engine/checkpoint/output_file.h"
#include "engine/error.h"

namespace turboclip {

/// Reads the TurboWan transformer `in` and writes it as .pth to `out`, under the official names: each linear
/// layer's weight as int8_weight and scale, norms as float32, everything else as it is. It takes the memory
/// of one tensor at a time. `out` appears whole or not at all.
///
/// architecture_unknown when `in` is another model; request_invalid when it is quantised already, is `out`
/// itself, or `out` exists and may not be replaced; format_invalid when a weight is no number; io; cancelled.
Status quantize_checkpoint(const std::filesystem::path& in, const std::filesystem::path& out,
                           Existing existing, const CancelFlag& cancel, const Progress& progress);

}  // namespace turboclip
