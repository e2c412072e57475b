// What umT5's tensors and token positions mean, for every backend that computes it.
#pragma once

#include <cstdint>
#include <span>

#include "engine/checkpoint.h"
#include "engine/error.h"

namespace turboclip {

/// Tokens of a prompt, </s> included.
inline constexpr std::int64_t kMaxPromptTokens = 512;
inline constexpr std::int64_t kPositionBuckets = 32;

struct Umt5Config {
  std::int64_t vocabulary = 0;
  std::int64_t width = 0;
  std::int64_t inner = 0;  // heads * head width
  std::int64_t heads = 0;
  std::int64_t ffn = 0;
  std::int64_t layers = 0;
};

/// The model's sizes, from the tensors' shapes. architecture_unknown if the file is of another model; the
/// first tensor that is missing or does not fit is the error.
Result<Umt5Config> read_umt5_config(const Checkpoint& checkpoint);

/// request_invalid, naming the value, unless the prompt has 1 to 512 tokens, all of the vocabulary.
Status check_prompt(std::span<const std::int32_t> ids, std::int64_t vocabulary);

/// T5's bucket of a relative position (key - query), bidirectional: half of the buckets for each direction,
/// half of those exact, the rest growing with the logarithm of the distance.
std::int64_t position_bucket(std::int64_t relative);

}  // namespace turboclip
