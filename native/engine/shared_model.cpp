#include "engine/shared_model.h"

#include <map>
#include <system_error>

#include "engine/text.h"

namespace turboclip {
namespace {

/// Process-wide, since the device and the host's memory are.
struct Registry {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<void>> models;
};
Registry& registry() {
  static Registry one;
  return one;
}

std::string entry(const std::string& kind, const std::string& key) { return concat(kind, " ", key); }

}  // namespace

std::string shared_key(const std::filesystem::path& path, const std::string& place) {
  std::error_code failed;
  const std::filesystem::path whole = std::filesystem::canonical(path, failed);
  if (place.empty() || failed) return {};
  const auto bytes = std::filesystem::file_size(whole, failed);
  const auto written = std::filesystem::last_write_time(whole, failed).time_since_epoch().count();
  return failed ? std::string() : concat(place, " ", whole.string(), " ", bytes, " ", written);
}

std::shared_ptr<void> find_shared(const std::string& kind, const std::string& key) {
  if (key.empty()) return nullptr;
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().models.find(entry(kind, key));
  return found == registry().models.end() ? nullptr : found->second.lock();
}

void keep_shared(const std::string& kind, const std::string& key, const std::shared_ptr<void>& model) {
  if (key.empty()) return;
  const std::lock_guard lock(registry().mutex);
  std::erase_if(registry().models, [](const auto& kept) { return kept.second.expired(); });
  registry().models[entry(kind, key)] = model;
}

}  // namespace turboclip
