#include "engine/umt5_config.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "engine/checkpoint/architecture.h"
#include "engine/text.h"

namespace turboclip {

Result<Umt5Config> read_umt5_config(const Checkpoint& checkpoint) {
  const Status known = require_architecture(checkpoint, Architecture::umt5);
  if (!known) return known.error();
  const Result<const TensorView*> embedding = checkpoint.require("token_embedding.weight", {-1, -1});
  if (!embedding) return embedding.error();
  const std::int64_t width = embedding.value()->shape[1];
  const Result<const TensorView*> q = checkpoint.require("blocks.0.attn.q.weight", {-1, width});
  if (!q) return q.error();
  const Result<const TensorView*> positions =
      checkpoint.require("blocks.0.pos_embedding.embedding.weight", {kPositionBuckets, -1});
  if (!positions) return positions.error();
  const Result<const TensorView*> up = checkpoint.require("blocks.0.ffn.fc1.weight", {-1, width});
  if (!up) return up.error();
  const Umt5Config config{embedding.value()->shape[0], width,
                          q.value()->shape[0],         positions.value()->shape[1],
                          up.value()->shape[0],        count_blocks(checkpoint)};
  if (config.heads < 1 || config.inner % config.heads != 0) {
    return Error{ErrorCode::tensor_shape,
                 concat(checkpoint.path().string(), ": ", config.inner,
                        " attention channels do not divide into ", config.heads, " heads")};
  }
  return config;
}

Status check_prompt(std::span<const std::int32_t> ids, std::int64_t vocabulary) {
  const auto tokens = static_cast<std::int64_t>(ids.size());
  if (tokens < 1 || tokens > kMaxPromptTokens) {
    return Error{ErrorCode::request_invalid,
                 concat("a prompt has 1 to ", kMaxPromptTokens, " tokens, and this one has ", tokens)};
  }
  for (std::size_t t = 0; t < ids.size(); ++t) {
    if (ids[t] >= 0 && ids[t] < vocabulary) continue;
    return Error{ErrorCode::request_invalid,
                 concat("token ", t, " is ", ids[t], ", outside the text encoder's vocabulary of ",
                        vocabulary, "; use the tokenizer that belongs to it")};
  }
  return success();
}

std::int64_t position_bucket(std::int64_t relative) {
  constexpr double kMaxDistance = 128;
  constexpr std::int64_t kPerDirection = kPositionBuckets / 2;
  constexpr std::int64_t kExact = kPerDirection / 2;
  const std::int64_t base = relative > 0 ? kPerDirection : 0;
  const std::int64_t distance = std::abs(relative);
  if (distance < kExact) return base + distance;
  const double growth = std::log(static_cast<double>(distance) / kExact) / std::log(kMaxDistance / kExact);
  const auto bucket = kExact + static_cast<std::int64_t>(growth * (kPerDirection - kExact));
  return base + std::min(bucket, kPerDirection - 1);
}

}  // namespace turboclip
