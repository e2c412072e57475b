// Text rows of the last prompts, by their tokens: the same prompt in another clip, with another seed or size,
// needs no text encoder.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include "engine/tensor.h"

namespace turboclip {

/// At most so many bytes of text rows, the least recently used go first; of a 512-token prompt of umT5-xxl
/// there are 8 MiB. Prompts stay in this process and go with the engine.
inline constexpr std::int64_t kTextCacheBytes = std::int64_t{64} << 20;

class TextCache {
 public:
  struct Counts {
    std::int64_t hits = 0;
    std::int64_t misses = 0;
  };

  explicit TextCache(std::int64_t most_bytes = kTextCacheBytes) : most_bytes_(most_bytes) {}

  /// The rows of exactly these tokens, or nullptr; valid until the next keep(). Counts a hit or a miss.
  const Tensor* find(std::span<const std::int32_t> ids);

  /// Keeps a copy of the rows, unless they alone are over the limit.
  void keep(std::span<const std::int32_t> ids, const Tensor& rows);

  const Counts& counts() const { return counts_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::vector<std::int32_t> ids;
    Tensor rows;

    std::int64_t bytes() const;
  };

  std::int64_t most_bytes_;
  std::int64_t bytes_ = 0;
  Counts counts_;
  std::list<Entry> entries_;  // the most recently used first; few enough to look through
};

}  // namespace turboclip
