#include "engine/text_cache.h"

#include <algorithm>

namespace turboclip {

std::int64_t TextCache::Entry::bytes() const {
  return static_cast<std::int64_t>(ids.size() * sizeof(std::int32_t) + rows.values.size() * sizeof(float));
}

const Tensor* TextCache::find(std::span<const std::int32_t> ids) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return std::ranges::equal(entry.ids, ids); });
  if (found == entries_.end()) {
    ++counts_.misses;
    return nullptr;
  }
  ++counts_.hits;
  entries_.splice(entries_.begin(), entries_, found);
  return &entries_.front().rows;
}

void TextCache::keep(std::span<const std::int32_t> ids, const Tensor& rows) {
  Entry entry{{ids.begin(), ids.end()}, rows};
  if (entry.bytes() > most_bytes_) return;
  bytes_ += entry.bytes();
  entries_.push_front(std::move(entry));
  while (bytes_ > most_bytes_) {
    bytes_ -= entries_.back().bytes();
    entries_.pop_back();
  }
}

}  // namespace turboclip
