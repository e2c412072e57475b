// The part of zip that torch.save writes: stored entries, found by the central directory, with the zip64
// fields of archives past 4 GB. PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "engine/error.h"

namespace turboclip {

/// Entry name to its bytes, borrowed from the file.
using ZipEntries = std::map<std::string, std::span<const std::byte>, std::less<>>;

/// Whether the file starts as a zip archive does.
bool looks_like_zip(std::span<const std::byte> file);

/// Reads the central directory. Compressed, encrypted, overlapping and duplicate entries are refused, and any
/// offset or size that leaves the file. `path` is for messages only.
Result<ZipEntries> read_zip(std::span<const std::byte> file, const std::filesystem::path& path);

}  // namespace turboclip
