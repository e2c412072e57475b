#include "engine/host_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

namespace turboclip {
namespace {

/// The number in a file that holds one; nothing for "max" and for a file that is not there.
std::optional<std::int64_t> read_number(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

std::optional<std::int64_t> mem_available(const std::filesystem::path& root) {
  std::ifstream file(root / "proc/meminfo");
  std::string key;
  std::int64_t kibibytes = 0;
  std::string unit;
  while (file >> key >> kibibytes && std::getline(file, unit)) {
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  return std::nullopt;
}

/// Inside a container the group's own files stand at the mount's top. Pages of files count as used there, and
/// are given back when asked for: they are not held against us.
std::optional<std::int64_t> group_leaves(const std::filesystem::path& folder, const char* limit_name,
                                         const char* used_name) {
  const std::optional<std::int64_t> limit = read_number(folder / limit_name);
  const std::optional<std::int64_t> used = read_number(folder / used_name);
  if (!limit || !used) return std::nullopt;
  std::ifstream statistics(folder / "memory.stat");
  std::string key;
  std::int64_t bytes = 0;
  std::int64_t reclaimable = 0;
  while (statistics >> key >> bytes) {
    if (key == "inactive_file" || key == "active_file") reclaimable += bytes;
  }
  return std::max<std::int64_t>(1, *limit - *used + std::min(reclaimable, *used));
}

}  // namespace

std::int64_t available_host_memory(const std::filesystem::path& root) {
  std::optional<std::int64_t> least = mem_available(root);
  const std::filesystem::path groups = root / "sys/fs/cgroup";
  for (const std::optional<std::int64_t>& left :
       {group_leaves(groups, "memory.max", "memory.current"),
        group_leaves(groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes")}) {
    if (left) least = std::min(least.value_or(*left), *left);
  }
  return least.value_or(0);
}

}  // namespace turboclip
