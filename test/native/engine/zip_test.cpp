#include "check.h"
#include "engine/checkpoint/zip_archive.h"
#include "support.h"

namespace turboclip {
namespace {

using test::mentions;
using test::raw;
using test::raw_value;

std::span<const std::byte> span_of(const std::string& bytes) {
  return {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()};
}

Error refusal(const std::string& bytes) {
  const Result<ZipEntries> read = read_zip(span_of(bytes), "a.pth");
  return read ? Error{ErrorCode::internal, "it was accepted"} : read.error();
}

TEST("a zip gives its stored entries by name") {
  const std::string bytes = test::zip_bytes({{"a/one", "111"}, {"a/empty", ""}, {"a/two", "22"}});
  const Result<ZipEntries> read = read_zip(span_of(bytes), "a.pth");
  CHECK(read.ok() && read.value().size() == 3);
  if (!read) return;
  const std::span<const std::byte> two = read.value().find("a/two")->second;
  CHECK_EQUAL(std::string(reinterpret_cast<const char*>(two.data()), two.size()), "22");
  CHECK(read.value().find("a/empty")->second.empty());
}

TEST("a zip cut short at any byte is an error, not a crash") {
  const std::string whole = test::zip_bytes({{"a/one", "111"}, {"a/two", "22"}});
  for (std::size_t size = 0; size < whole.size(); ++size)
    CHECK(!read_zip(span_of(whole.substr(0, size)), "a").ok());
}

TEST("a zip may end in a comment") {
  std::string bytes = test::zip_bytes({{"a", "1"}});
  bytes[bytes.size() - 2] = 5;
  CHECK(read_zip(span_of(bytes + "hello"), "a.pth").ok());
  CHECK(!read_zip(span_of(bytes + "hell"), "a.pth").ok());
}

TEST("a compressed entry is refused with the way out") {
  const Error error = refusal(test::zip_bytes({{"a/data.pkl", "xyz", 8}}));
  CHECK(error.code == ErrorCode::format_invalid);
  CHECK(mentions(error.message, {"a.pth", "'a/data.pkl'", "compressed", "torch.save"}));
}

TEST("a zip that names an entry twice is refused") {
  CHECK(mentions(refusal(test::zip_bytes({{"a", "1"}, {"a", "2"}})).message, {"'a'", "twice"}));
}

TEST("zip entries that share bytes are refused") {
  // The second central entry points at a local header that lies inside the first entry's data.
  const std::string inner = test::zip_bytes({{"b", "inner"}});
  const std::string local = inner.substr(0, 30 + 1 + 5);
  std::string bytes = test::zip_bytes({{"a", local}, {"b", "other"}});
  const std::size_t second = bytes.rfind(std::string("PK\x01\x02"));
  bytes.replace(second + 42, 4, raw_value<std::uint32_t>(30 + 1));
  CHECK(mentions(refusal(bytes).message, {"overlap"}));
}

TEST("zip offsets and sizes that leave the file are refused") {
  const std::string whole = test::zip_bytes({{"a", "1234"}});
  const std::size_t central = whole.rfind(std::string("PK\x01\x02"));
  const std::size_t end = whole.size() - 22;
  const std::pair<std::size_t, std::string> damages[] = {
      {central + 42, raw_value<std::uint32_t>(0x7fffffff)},          // local header's place
      {central + 20, raw<std::uint32_t>({0x7fffffff, 0x7fffffff})},  // sizes
      {central + 20,
       raw<std::uint32_t>({0xffffffff, 0xffffffff})},    // sizes in an extra field that is not there
      {central + 28, raw_value<std::uint16_t>(0xffff)},  // name
      {end + 16, raw_value<std::uint32_t>(0x7fffffff)},  // directory's place
      {end + 12, raw_value<std::uint32_t>(0x7fffffff)},  // directory's size
      {end + 10, raw_value<std::uint16_t>(9)},           // number of entries
      {central + 8, raw_value<std::uint16_t>(1)},        // encrypted
      {30, "b"},                                         // another name in the local header
  };
  for (const auto& [at, value] : damages) {
    std::string bytes = whole;
    bytes.replace(at, value.size(), value);
    CHECK(!read_zip(span_of(bytes), "a.pth").ok());
  }
}

TEST("zip64 sizes, places and end record are read, and refused when they lie") {
  const std::string name = "a";
  const std::string data = "1234";
  const std::string sizes = raw<std::uint32_t>({0xffffffff, 0xffffffff});
  const std::string local = raw_value<std::uint32_t>(0x04034b50) + raw<std::uint16_t>({45, 0, 0, 0, 0}) +
                            raw_value<std::uint32_t>(0) + sizes + raw<std::uint16_t>({1, 0}) + name + data;
  const auto archive = [&](std::uint64_t size, std::uint64_t offset, std::uint64_t end_at) {
    const std::string extra = raw<std::uint16_t>({1, 24}) + raw<std::uint64_t>({size, size, offset});
    const std::string central = raw_value<std::uint32_t>(0x02014b50) +
                                raw<std::uint16_t>({45, 45, 0, 0, 0, 0}) + raw_value<std::uint32_t>(0) +
                                sizes +
                                raw<std::uint16_t>({1, static_cast<std::uint16_t>(extra.size()), 0, 0, 0}) +
                                raw<std::uint32_t>({0, 0xffffffff}) + name + extra;
    const std::string end64 = raw_value<std::uint32_t>(0x06064b50) + raw_value<std::uint64_t>(44) +
                              raw<std::uint16_t>({45, 45}) + raw<std::uint32_t>({0, 0}) +
                              raw<std::uint64_t>({1, 1, central.size(), local.size()});
    const std::string locator =
        raw<std::uint32_t>({0x07064b50, 0}) +
        raw_value<std::uint64_t>(end_at == 0 ? local.size() + central.size() : end_at) +
        raw_value<std::uint32_t>(1);
    const std::string end = raw_value<std::uint32_t>(0x06054b50) +
                            raw<std::uint16_t>({0, 0, 0xffff, 0xffff}) +
                            raw<std::uint32_t>({0xffffffff, 0xffffffff}) + raw_value<std::uint16_t>(0);
    return local + central + end64 + locator + end;
  };
  const std::string sound = archive(4, 0, 0);
  const Result<ZipEntries> read = read_zip(span_of(sound), "a.pth");
  CHECK(read.ok() && read.value().find("a")->second.size() == 4);
  for (const std::string& bad :
       {archive(5, 0, 0), archive(~std::uint64_t{0}, 0, 0), archive(4, ~std::uint64_t{0}, 0),
        archive(4, 0, ~std::uint64_t{0}), archive(4, 0, 1)}) {
    CHECK(!read_zip(span_of(bad), "a.pth").ok());
  }
}

}  // namespace
}  // namespace turboclip
