// TAEHV's decoder (taew2_1, https://github.com/madebyollin/taehv): a small likeness of Wan's VAE decoder for
// the same latent, at about a twenty-fifth of the work; two-dimensional convolutions and one remembered frame
// a block.
#pragma once

#include <memory>

#include "cpu/context.h"
#include "engine/backend.h"

namespace turboclip::cpu {

/// Reads the decoder's tensors, `decoder.1` to `decoder.22`; widths are those of the tensors. Adds the bytes
/// of the weights it keeps to resident_bytes.
Result<std::unique_ptr<VideoDecoder>> load_taehv(const Checkpoint& checkpoint, const Context& context,
                                                 std::int64_t& resident_bytes);

}  // namespace turboclip::cpu
