#include "engine/checkpoint/zip_archive.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/text.h"

namespace turboclip {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kCentralHeader = 0x02014b50;
constexpr std::uint32_t kEnd = 0x06054b50;
constexpr std::uint32_t kEnd64Locator = 0x07064b50;
constexpr std::uint32_t kEnd64 = 0x06064b50;
constexpr std::size_t kLocalHeaderSize = 30;
constexpr std::size_t kCentralHeaderSize = 46;
constexpr std::size_t kEndSize = 22;
constexpr std::size_t kEnd64LocatorSize = 20;
constexpr std::size_t kEnd64Size = 56;
constexpr std::uint64_t kMaxEntries = 1u << 20;
constexpr std::uint16_t kZip64Extra = 1;

struct Directory {
  std::uint64_t entries = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
};

struct CentralEntry {
  std::string name;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint64_t compressed = 0;
  std::uint64_t uncompressed = 0;
  std::uint64_t local_offset = 0;
};

class Reader {
 public:
  Reader(std::span<const std::byte> file, const std::filesystem::path& path) : file_(file), path_(path) {}

  Result<ZipEntries> read() {
    const Result<Directory> directory = find_directory();
    if (!directory) return directory.error();
    ZipEntries entries;
    std::vector<std::span<const std::byte>> extents;
    std::uint64_t at = directory.value().offset;
    const std::uint64_t end = at + directory.value().size;
    for (std::uint64_t i = 0; i < directory.value().entries; ++i) {
      const Result<CentralEntry> entry = read_central(at, end);
      if (!entry) return entry.error();
      const Result<std::span<const std::byte>> data = locate(entry.value(), directory.value().offset);
      if (!data) return data.error();
      if (!entries.emplace(entry.value().name, data.value()).second) {
        return invalid(concat("holds the entry ", in_quotes(entry.value().name), " twice"));
      }
      extents.push_back(data.value());
    }
    if (at != end) return invalid("the central directory is longer than its entries");
    return without_overlap(std::move(extents), std::move(entries));
  }

 private:
  template <class T>
  T load(std::uint64_t at) const {
    T value;
    std::memcpy(&value, file_.data() + at, sizeof value);
    return value;
  }
  bool inside(std::uint64_t at, std::uint64_t size) const {
    return at <= file_.size() && size <= file_.size() - at;
  }
  Error invalid(const std::string& what) const {
    return Error{ErrorCode::format_invalid,
                 concat(path_.string(), ": damaged zip archive: ", what, "; fetch the file again")};
  }
  Error truncated(const std::string& what) const {
    return Error{ErrorCode::file_truncated,
                 concat(path_.string(), ": the archive is cut short: ", what, "; fetch the file again")};
  }
  Error unsupported(const std::string& what) const {
    return Error{ErrorCode::format_invalid,
                 concat(path_.string(), ": ", what, "; save it anew with torch.save, which stores plainly")};
  }

  /// The end record is the last thing in the file but for a comment of at most 65,535 bytes.
  std::optional<std::uint64_t> find_end() const {
    if (file_.size() < kEndSize) return std::nullopt;
    const std::uint64_t last = file_.size() - kEndSize;
    const std::uint64_t first = last > 0xffff ? last - 0xffff : 0;
    for (std::uint64_t at = last + 1; at-- > first;) {
      if (load<std::uint32_t>(at) == kEnd && at + kEndSize + load<std::uint16_t>(at + 20) == file_.size()) {
        return at;
      }
    }
    return std::nullopt;
  }

  Result<Directory> find_directory() const {
    const std::optional<std::uint64_t> end = find_end();
    if (!end) return truncated("it has no end record");
    Directory directory{load<std::uint16_t>(*end + 10), load<std::uint32_t>(*end + 12),
                        load<std::uint32_t>(*end + 16)};
    std::uint64_t limit = *end;
    if (*end >= kEnd64LocatorSize && load<std::uint32_t>(*end - kEnd64LocatorSize) == kEnd64Locator) {
      const auto at = load<std::uint64_t>(*end - kEnd64LocatorSize + 8);
      if (!inside(at, kEnd64Size) || load<std::uint32_t>(at) != kEnd64) {
        return invalid("its zip64 end record is not where the locator says");
      }
      directory = {load<std::uint64_t>(at + 32), load<std::uint64_t>(at + 40), load<std::uint64_t>(at + 48)};
      limit = at;
    }
    if (directory.entries > kMaxEntries) {
      return invalid(
          concat("it claims ", directory.entries, " entries, and at most ", kMaxEntries, " are allowed"));
    }
    if (directory.offset > limit || directory.size > limit - directory.offset) {
      return invalid("its central directory does not lie before its end record");
    }
    return directory;
  }

  /// Reads the entry at `at` and moves `at` behind it.
  Result<CentralEntry> read_central(std::uint64_t& at, std::uint64_t end) const {
    if (end - at < kCentralHeaderSize || load<std::uint32_t>(at) != kCentralHeader) {
      return invalid("the central directory holds fewer entries than it claims");
    }
    const std::uint64_t name_size = load<std::uint16_t>(at + 28);
    const std::uint64_t extra_size = load<std::uint16_t>(at + 30);
    const std::uint64_t comment_size = load<std::uint16_t>(at + 32);
    if (end - at - kCentralHeaderSize < name_size + extra_size + comment_size) {
      return invalid("an entry of the central directory leaves it");
    }
    CentralEntry entry;
    entry.flags = load<std::uint16_t>(at + 8);
    entry.method = load<std::uint16_t>(at + 10);
    entry.compressed = load<std::uint32_t>(at + 20);
    entry.uncompressed = load<std::uint32_t>(at + 24);
    entry.local_offset = load<std::uint32_t>(at + 42);
    entry.name.assign(reinterpret_cast<const char*>(file_.data() + at + kCentralHeaderSize), name_size);
    const std::uint64_t extra = at + kCentralHeaderSize + name_size;
    if (!read_zip64_extra(entry, extra, extra + extra_size)) {
      return invalid(concat("entry ", in_quotes(entry.name), " lacks the zip64 sizes that it refers to"));
    }
    at = extra + extra_size + comment_size;
    return entry;
  }

  /// The zip64 extra field holds, in this order, those of the three values whose 32-bit field is all ones.
  bool read_zip64_extra(CentralEntry& entry, std::uint64_t at, std::uint64_t end) const {
    std::vector<std::uint64_t*> wanted;
    for (std::uint64_t* value : {&entry.uncompressed, &entry.compressed, &entry.local_offset}) {
      if (*value == 0xffffffffu) wanted.push_back(value);
    }
    if (wanted.empty()) return true;
    while (end - at >= 4) {
      const auto id = load<std::uint16_t>(at);
      const std::uint64_t size = load<std::uint16_t>(at + 2);
      if (end - at - 4 < size) return false;
      if (id == kZip64Extra) {
        if (size < 8 * wanted.size()) return false;
        for (std::size_t i = 0; i < wanted.size(); ++i) *wanted[i] = load<std::uint64_t>(at + 4 + 8 * i);
        return true;
      }
      at += 4 + size;
    }
    return false;
  }

  /// The entry's bytes, which must lie between its local header and the central directory.
  Result<std::span<const std::byte>> locate(const CentralEntry& entry, std::uint64_t limit) const {
    if ((entry.flags & 1) != 0) return unsupported(concat("entry ", in_quotes(entry.name), " is encrypted"));
    if (entry.method != 0 || entry.compressed != entry.uncompressed) {
      return unsupported(concat("entry ", in_quotes(entry.name), " is compressed (method ", entry.method,
                                "), and only stored entries are read"));
    }
    const std::uint64_t at = entry.local_offset;
    if (at > limit || limit - at < kLocalHeaderSize || load<std::uint32_t>(at) != kLocalHeader) {
      return invalid(concat("entry ", in_quotes(entry.name), " has no local header at byte ", at));
    }
    const std::uint64_t name_size = load<std::uint16_t>(at + 26);
    const std::uint64_t extra_size = load<std::uint16_t>(at + 28);
    const std::uint64_t left = limit - at - kLocalHeaderSize;
    if (left < name_size + extra_size || left - name_size - extra_size < entry.uncompressed) {
      return invalid(concat("entry ", in_quotes(entry.name), " of ", entry.uncompressed,
                            " bytes does not fit before the central directory"));
    }
    const std::string_view name(reinterpret_cast<const char*>(file_.data() + at + kLocalHeaderSize),
                                name_size);
    if (name != entry.name) {
      return invalid(
          concat("entry ", in_quotes(entry.name), " is called ", in_quotes(name), " in its local header"));
    }
    return file_.subspan(at + kLocalHeaderSize + name_size + extra_size, entry.uncompressed);
  }

  Result<ZipEntries> without_overlap(std::vector<std::span<const std::byte>> extents,
                                     ZipEntries entries) const {
    std::erase_if(extents, [](const auto& extent) { return extent.empty(); });
    std::sort(extents.begin(), extents.end(),
              [](const auto& a, const auto& b) { return a.data() < b.data(); });
    for (std::size_t i = 1; i < extents.size(); ++i) {
      if (extents[i - 1].data() + extents[i - 1].size() > extents[i].data()) {
        return invalid("two of its entries overlap");
      }
    }
    return entries;
  }

  std::span<const std::byte> file_;
  const std::filesystem::path& path_;
};

}  // namespace

bool looks_like_zip(std::span<const std::byte> file) {
  std::uint32_t magic = 0;
  if (file.size() < sizeof magic) return false;
  std::memcpy(&magic, file.data(), sizeof magic);
  return magic == kLocalHeader || magic == kEnd;
}

Result<ZipEntries> read_zip(std::span<const std::byte> file, const std::filesystem::path& path) {
  return Reader(file, path).read();
}

}  // namespace turboclip
