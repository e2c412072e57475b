#include "tools/golden/int8_compare.h"

#include <algorithm>
#include <cstdlib>

#include "engine/text.h"

namespace turboclip::golden {

void Int8Difference::add(std::span<const std::int8_t> ours, std::span<const std::int8_t> theirs) {
  values += static_cast<std::int64_t>(ours.size());
  for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
    const int difference = std::abs(ours[i] - theirs[i]);
    by_one += difference == 1 ? 1 : 0;
    by_more += difference > 1 ? 1 : 0;
  }
}

std::string Int8Difference::verdict() const {
  return concat(by_one, " of ", values, " off by one", by_more > 0 ? concat(", ", by_more, " by more") : "",
                "  tolerance ", values / 10'000, good() ? "  ok" : "  FAIL");
}

}  // namespace turboclip::golden
