// Telling the kinds of checkpoint apart by the tensors that only they have.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/checkpoint.h"

namespace turboclip {

enum class Architecture { umt5, turbowan, wan_vae, taehv };

struct Signature {
  Architecture architecture;
  std::string_view tensor;       // an official name that no other kind has
  std::string_view description;  // "a Wan VAE"
};
const Signature& signature_of(Architecture architecture);

/// architecture_unknown, saying what the file seems to be instead, unless it is of this kind.
Status require_architecture(const Checkpoint& checkpoint, Architecture expected);

/// Whether the file has the tensor that only this kind has.
bool is_architecture(const Checkpoint& checkpoint, Architecture kind);

/// Number of consecutive `blocks.N.` groups from 0.
std::int64_t count_blocks(const Checkpoint& checkpoint);

}  // namespace turboclip
