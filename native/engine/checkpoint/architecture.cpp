#include "engine/checkpoint/architecture.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "engine/text.h"

namespace turboclip {
namespace {

constexpr Signature kSignatures[] = {
    {Architecture::umt5, "blocks.0.attn.q.weight", "a umT5 text encoder"},
    {Architecture::turbowan, "blocks.0.modulation", "a TurboWan transformer"},
    {Architecture::wan_vae, "decoder.conv1.weight", "a Wan VAE"},
    {Architecture::taehv, "decoder.3.conv.0.weight", "a TAEHV decoder"},
};

}  // namespace

const Signature& signature_of(Architecture architecture) {
  return *std::find_if(std::begin(kSignatures), std::end(kSignatures),
                       [&](const Signature& one) { return one.architecture == architecture; });
}

Status require_architecture(const Checkpoint& checkpoint, Architecture expected) {
  if (is_architecture(checkpoint, expected)) return success();
  std::string_view found = "no model that this engine knows";
  for (const Signature& signature : kSignatures) {
    if (is_architecture(checkpoint, signature.architecture)) found = signature.description;
  }
  const Signature& wanted = signature_of(expected);
  return Error{ErrorCode::architecture_unknown,
               concat(checkpoint.path().string(), ": expected ", wanted.description, ", which has a tensor ",
                      in_quotes(wanted.tensor), "; the file holds ", found, ". Give the right file")};
}

bool is_architecture(const Checkpoint& checkpoint, Architecture kind) {
  return checkpoint.find(signature_of(kind).tensor) != nullptr;
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

}  // namespace turboclip
