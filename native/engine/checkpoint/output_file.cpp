#include "engine/checkpoint/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/text.h"

namespace turboclip {
namespace {

/// Linux writes at most 2 GiB at a time.
constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;
constexpr int kMode = 0666;  // less the process's umask

}  // namespace

Result<OutputFile> OutputFile::create(const std::filesystem::path& path, Existing existing) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  const bool there = std::filesystem::exists(status);
  if (std::filesystem::is_directory(status)) {
    return Error{ErrorCode::request_invalid,
                 concat(path.string(), ": is a folder; give the path of the file to write")};
  }
  const bool special = there && !std::filesystem::is_regular_file(status);
  if (there && !special && existing == Existing::refuse) {
    return Error{ErrorCode::request_invalid,
                 concat(path.string(), ": exists already; give another path, or --replace")};
  }
  std::filesystem::path partial = path;
  if (!special) partial += concat(".", ::getpid(), ".partial");
  const int flags = O_WRONLY | O_CLOEXEC | (special ? 0 : O_CREAT | O_EXCL);
  OutputFile file(path, partial, ::open(partial.c_str(), flags, kMode));
  if (file.descriptor_ < 0) {
    const int reason = errno;
    file.partial_ = path;  // nothing to take away
    return Error{ErrorCode::io, concat(partial.string(), ": cannot be written: ", std::strerror(reason),
                                       "; give a folder that exists and that you may write to")};
  }
  return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (partial_ != path_) ::unlink(partial_.c_str());
}

Status OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kMostAtOnce));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed(errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return success();
}

Status OutputFile::commit() {
  if (partial_ == path_) return success();
  if (::fsync(descriptor_) != 0 || ::rename(partial_.c_str(), path_.c_str()) != 0) return failed(errno);
  ::close(std::exchange(descriptor_, -1));
  return success();
}

Error OutputFile::failed(int reason) const {
  return Error{ErrorCode::io, concat(path_.string(), ": cannot be written: ", std::strerror(reason),
                                     "; make room on the disk or give another path")};
}

}  // namespace turboclip
