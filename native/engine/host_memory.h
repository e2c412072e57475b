// How much memory this process may still take.
#pragma once

#include <cstdint>
#include <filesystem>

namespace turboclip {

/// Bytes: MemAvailable of <root>/proc/meminfo or, if lower, what the process's control group (version 2, else
/// 1) leaves of its limit. 0 when the system tells neither. `root` is "/" but in tests.
std::int64_t available_host_memory(const std::filesystem::path& root = "/");

}  // namespace turboclip
