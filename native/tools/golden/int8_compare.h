// Comparing INT8 values with the reference's: rounding of ties may differ here and there, nothing else.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace turboclip::golden {

struct Int8Difference {
  std::int64_t values = 0;
  std::int64_t by_one = 0;
  std::int64_t by_more = 0;

  void add(std::span<const std::int8_t> ours, std::span<const std::int8_t> theirs);
  /// At most one value in 10,000 differs, and by one only.
  bool good() const { return by_more == 0 && by_one * 10'000 <= values; }
  /// "3 of 98304 off by one  tolerance 9  ok"
  std::string verdict() const;
};

}  // namespace turboclip::golden
