#include "engine/text_cache.h"

#include "check.h"

namespace turboclip::test {
namespace {

Tensor rows_of(std::int64_t tokens, float value) {
  Tensor rows({tokens, 4});
  for (float& each : rows.values) each = value;
  return rows;
}

/// 4 bytes of a token and 16 of its row.
constexpr std::int64_t kTokenBytes = 20;

TEST("text rows are found by exactly their tokens, and hits and misses are counted") {
  TextCache cache;
  const std::vector<std::int32_t> ids{5, 7, 1};
  CHECK(cache.find(ids) == nullptr);
  cache.keep(ids, rows_of(3, 2));
  const Tensor* found = cache.find(ids);
  CHECK(found != nullptr && found->shape == Shape({3, 4}) && found->values == rows_of(3, 2).values);
  for (const std::vector<std::int32_t>& other :
       {std::vector<std::int32_t>{5, 7}, std::vector<std::int32_t>{5, 7, 2},
        std::vector<std::int32_t>{5, 7, 1, 1}}) {
    CHECK(cache.find(other) == nullptr);
  }
  CHECK_EQUAL(cache.counts().hits, 1);
  CHECK_EQUAL(cache.counts().misses, 4);
}

TEST("text rows stay under the limit of bytes, and the least recently used go first") {
  TextCache cache(6 * kTokenBytes);
  cache.keep(std::vector<std::int32_t>{1, 1}, rows_of(2, 1));
  cache.keep(std::vector<std::int32_t>{2, 2}, rows_of(2, 2));
  cache.keep(std::vector<std::int32_t>{3, 3}, rows_of(2, 3));
  CHECK_EQUAL(cache.bytes(), 6 * kTokenBytes);
  CHECK(cache.find(std::vector<std::int32_t>{1, 1}) != nullptr);
  cache.keep(std::vector<std::int32_t>{4}, rows_of(1, 4));
  CHECK(cache.find(std::vector<std::int32_t>{2, 2}) == nullptr);
  CHECK(cache.find(std::vector<std::int32_t>{1, 1}) != nullptr);
  CHECK(cache.find(std::vector<std::int32_t>{3, 3}) != nullptr);
  CHECK(cache.find(std::vector<std::int32_t>{4}) != nullptr);
  CHECK_EQUAL(cache.bytes(), 5 * kTokenBytes);
  // What is over the limit by itself costs the others nothing.
  cache.keep(std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7}, rows_of(7, 5));
  CHECK_EQUAL(cache.bytes(), 5 * kTokenBytes);
}

}  // namespace
}  // namespace turboclip::test
