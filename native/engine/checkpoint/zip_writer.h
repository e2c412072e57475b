// Writes zip archives as torch.save does: stored entries whose bytes begin at multiples of 64, with the zip64
// fields that archives past 4 GB need. PKWARE APPNOTE 6.3.10.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/error.h"

namespace turboclip {

class ZipWriter {
 public:
  /// Receives the archive from front to back.
  using Write = std::function<Status(std::span<const std::byte>)>;

  /// `offset` is where in its file the archive begins.
  explicit ZipWriter(Write write, std::uint64_t offset = 0) : write_(std::move(write)), at_(offset) {}

  /// Entries are below 4 GiB and have names of their own.
  Status add(const std::string& name, std::span<const std::byte> bytes);
  /// Writes the directory; nothing may be added after it.
  Status finish();

 private:
  struct Entry {
    std::string name;
    std::uint32_t crc;
    std::uint32_t size;
    std::uint64_t offset;  // of the local header
  };

  Status put(std::span<const std::byte> bytes);

  Write write_;
  std::uint64_t at_;
  std::vector<Entry> entries_;
};

}  // namespace turboclip
