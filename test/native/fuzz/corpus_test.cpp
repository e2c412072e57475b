#include <filesystem>
#include <span>
#include <string>

#include "check.h"
#include "fuzz/readers.h"
#include "support.h"

namespace turboclip::test {
namespace {

/// Feeds every kept input of one format; returns how many there are.
int feed_all(const std::string& format, FuzzTarget feed) {
  int fed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(fixture("corpus/" + format))) {
    const std::string bytes = read_bytes(entry.path());
    feed(std::as_bytes(std::span(bytes)));
    ++fed;
  }
  return fed;
}

TEST("every input that fuzzing has kept is read or refused") {
  CHECK(feed_all("pth", feed_pth) > 0);
  CHECK(feed_all("pickle", feed_pickle) > 0);
  CHECK(feed_all("safetensors", feed_safetensors) > 0);
}

}  // namespace
}  // namespace turboclip::test
