// A file's bytes, mapped read-only: weights are paged in when they are first read, and an 11 GB checkpoint
// costs address space, not memory. A file that shrinks while it is mapped faults when it is read: whoever
// installs checkpoints puts them in place by rename and never rewrites them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "engine/error.h"

namespace turboclip {

class MappedFile {
 public:
  /// file_missing when it does not open or is no regular file; io when it does not map.
  static Result<std::shared_ptr<MappedFile>> open(const std::filesystem::path& path);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  /// Gives back the memory of whole pages inside `part`; they are read again when they are needed.
  void release(std::span<const std::byte> part) const;

 private:
  MappedFile(std::filesystem::path path, std::span<const std::byte> bytes)
      : path_(std::move(path)), bytes_(bytes) {}

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace turboclip
