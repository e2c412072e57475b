#include "cpu/architecture.h"

#include <string>
#include <string_view>

#include "engine/text.h"

namespace turboclip::cpu {
namespace {

struct Signature {
  Architecture architecture;
  std::string_view tensor;
  std::string_view description;
};

constexpr Signature kSignatures[] = {
    {Architecture::umt5, "blocks.0.attn.q.weight", "a umT5 text encoder"},
    {Architecture::turbowan, "blocks.0.modulation", "a TurboWan transformer"},
    {Architecture::wan_vae, "decoder.conv1.weight", "a Wan VAE"},
    {Architecture::taehv, "decoder.3.conv.0.weight", "a TAEHV decoder"},
};

}  // namespace

Status require_architecture(const Checkpoint& checkpoint, Architecture expected) {
  const Signature* wanted = nullptr;
  std::string_view found = "no model that this engine knows";
  for (const Signature& signature : kSignatures) {
    const bool present = checkpoint.find(signature.tensor) != nullptr;
    if (signature.architecture == expected) {
      if (present) return success();
      wanted = &signature;
    } else if (present) {
      found = signature.description;
    }
  }
  return Error{ErrorCode::architecture_unknown,
               concat(checkpoint.path().string(), ": expected ", wanted->description, ", which has a tensor ",
                      in_quotes(wanted->tensor), "; the file holds ", found, ". Give the right file")};
}

bool is_architecture(const Checkpoint& checkpoint, Architecture kind) {
  for (const Signature& signature : kSignatures) {
    if (signature.architecture == kind) return checkpoint.find(signature.tensor) != nullptr;
  }
  return false;
}

std::int64_t count_blocks(const Checkpoint& checkpoint) {
  std::int64_t count = 0;
  while (true) {
    const std::string prefix = concat("blocks.", count, ".");
    const auto next = checkpoint.tensors().lower_bound(prefix);
    if (next == checkpoint.tensors().end() || !next->first.starts_with(prefix)) return count;
    ++count;
  }
}

}  // namespace turboclip::cpu
