#include "engine/checkpoint/zip_writer.h"

#include <cstring>
#include <string_view>

#include "engine/checkpoint/crc32.h"
#include "engine/text.h"

namespace turboclip {
namespace {

constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kLocalHeaderSize = 30;
constexpr std::uint64_t kMost32 = 0xffffffffu;
constexpr std::uint64_t kMost16 = 0xffffu;
constexpr std::uint16_t kPaddingField = 0x4246;  // "FB", as torch.save fills up to a multiple of 64
constexpr std::uint16_t kZip64Field = 1;
constexpr std::uint16_t kVersion = 45;  // 4.5: zip64
constexpr std::uint16_t kDate = 0x21;   // 1980-01-01, so that equal tensors give equal files

/// Little-endian fields one after another.
class Record {
 public:
  template <class T>
  Record& field(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Record& text(std::string_view value) {
    bytes_ += value;
    return *this;
  }
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(bytes_)); }
  std::uint64_t size() const { return bytes_.size(); }

 private:
  std::string bytes_;
};

std::uint32_t low32(std::uint64_t value) {
  return static_cast<std::uint32_t>(value < kMost32 ? value : kMost32);
}

}  // namespace

Status ZipWriter::put(std::span<const std::byte> bytes) {
  at_ += bytes.size();
  return write_(bytes);
}

Status ZipWriter::add(const std::string& name, std::span<const std::byte> bytes) {
  if (bytes.size() >= kMost32 || name.size() > kMost16 / 2) {
    return Error{ErrorCode::format_invalid,
                 concat("entry ", in_quotes(name), " of ", bytes.size(), " bytes is too large for a .pth; ",
                        "at most 4 GiB are written")};
  }
  const Entry entry{name, crc32(bytes), static_cast<std::uint32_t>(bytes.size()), at_};
  const std::uint64_t data = at_ + kLocalHeaderSize + name.size() + 2 * sizeof(std::uint16_t);
  const std::uint64_t padding = (kAlignment - data % kAlignment) % kAlignment;
  Record header;
  header.field<std::uint32_t>(0x04034b50).field(kVersion).field<std::uint16_t>(0).field<std::uint16_t>(0);
  header.field<std::uint16_t>(0).field(kDate).field(entry.crc).field(entry.size).field(entry.size);
  header.field(static_cast<std::uint16_t>(name.size()));
  header.field(static_cast<std::uint16_t>(padding + 2 * sizeof(std::uint16_t))).text(name);
  header.field(kPaddingField).field(static_cast<std::uint16_t>(padding)).text(std::string(padding, 'Z'));
  entries_.push_back(entry);
  const Status written = put(header.bytes());
  return written ? put(bytes) : written;
}

Status ZipWriter::finish() {
  const std::uint64_t directory = at_;
  for (const Entry& entry : entries_) {
    const bool far = entry.offset >= kMost32;
    Record record;
    record.field<std::uint32_t>(0x02014b50).field(kVersion).field(kVersion).field<std::uint16_t>(0);
    record.field<std::uint16_t>(0).field<std::uint16_t>(0).field(kDate).field(entry.crc);
    record.field(entry.size).field(entry.size).field(static_cast<std::uint16_t>(entry.name.size()));
    record.field<std::uint16_t>(far ? 12 : 0).field<std::uint16_t>(0).field<std::uint16_t>(0);
    record.field<std::uint16_t>(0).field<std::uint32_t>(0).field(low32(entry.offset)).text(entry.name);
    if (far) record.field(kZip64Field).field<std::uint16_t>(8).field(entry.offset);
    const Status written = put(record.bytes());
    if (!written) return written;
  }
  const std::uint64_t end = at_;
  const std::uint64_t size = end - directory;
  const std::uint64_t count = entries_.size();
  Record record;
  if (count >= kMost16 || directory >= kMost32 || size >= kMost32) {
    constexpr std::uint64_t kRest = 44;  // of the record after its size
    record.field<std::uint32_t>(0x06064b50).field(kRest).field(kVersion).field(kVersion);
    record.field<std::uint32_t>(0).field<std::uint32_t>(0).field(count).field(count).field(size);
    record.field(directory);
    record.field<std::uint32_t>(0x07064b50).field<std::uint32_t>(0).field(end).field<std::uint32_t>(1);
  }
  const auto count16 = static_cast<std::uint16_t>(count < kMost16 ? count : kMost16);
  record.field<std::uint32_t>(0x06054b50).field<std::uint16_t>(0).field<std::uint16_t>(0);
  record.field(count16).field(count16).field(low32(size)).field(low32(directory)).field<std::uint16_t>(0);
  return put(record.bytes());
}

}  // namespace turboclip
