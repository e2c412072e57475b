// A file that is there whole or not at all: it is written beside its place and moved there when it is done.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "engine/error.h"

namespace turboclip {

/// What happens to a file that is in the way.
enum class Existing { refuse, replace };

class OutputFile {
 public:
  /// request_invalid when a file is there that may not be replaced; io when nothing can be written there.
  /// What is no regular file, such as a pipe, is written as it is.
  static Result<OutputFile> create(const std::filesystem::path& path, Existing existing);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  /// Takes away what was written unless it was committed.
  ~OutputFile();

  /// io with the system's reason, such as a full disk.
  Status write(std::span<const std::byte> bytes);
  /// Waits until the bytes are on the disk, then puts the file in its place.
  Status commit();

 private:
  OutputFile(std::filesystem::path path, std::filesystem::path partial, int descriptor)
      : path_(std::move(path)), partial_(std::move(partial)), descriptor_(descriptor) {}

  Error failed(int reason) const;

  std::filesystem::path path_;
  std::filesystem::path partial_;  // where it is written; path_ itself for what is no regular file
  int descriptor_;                 // -1 when closed
};

}  // namespace turboclip
