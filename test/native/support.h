// What several native tests need: fixtures, a folder of their own, and hand-made archives and pickles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "engine/tensor.h"

namespace turboclip::test {

/// test/fixtures/<name>, or below $TURBOCLIP_FIXTURES.
std::filesystem::path fixture(const std::string& name);

/// An empty folder that goes with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();

  const std::filesystem::path& path() const { return path_; }
  /// Writes a file into the folder and returns its path.
  std::filesystem::path write(const std::string& name, std::string_view bytes) const;

 private:
  std::filesystem::path path_;
};

std::string read_bytes(const std::filesystem::path& path);

/// The values' bytes in the machine's order, which is the files'.
template <class T>
std::string raw(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}
template <class T>
std::string raw_value(T value) {
  return raw(std::vector<T>{value});
}

/// safetensors bytes of a header and data as they are, right or wrong.
std::string safetensors_bytes(const std::string& header, const std::string& data);

struct ZipEntry {
  std::string name;
  std::string bytes;
  std::uint16_t method = 0;
};
/// A zip of stored entries, as torch.save lays it out.
std::string zip_bytes(const std::vector<ZipEntry>& entries);

/// A .pth of one pickle and its storages ("0", "1" ...).
std::string pth_bytes(const std::string& pickle, const std::vector<std::string>& storages);

/// Pickle opcodes, protocol 2.
namespace pickle {
std::string text(const std::string& value);
std::string global(const std::string& module, const std::string& name);
std::string integer(std::int64_t value);
std::string tuple(const std::vector<std::int64_t>& values);
/// A _rebuild_tensor_v2 call over storage `key` of `type` ("FloatStorage") with `elements` values.
std::string tensor(const std::string& type, const std::string& key, std::int64_t elements,
                   std::int64_t offset, const std::vector<std::int64_t>& shape,
                   const std::vector<std::int64_t>& strides);
/// {name: value, ...} as the whole stream.
std::string state_dict(const std::vector<std::pair<std::string, std::string>>& items);
/// The same without protocol and end, to be nested.
std::string dict(const std::vector<std::pair<std::string, std::string>>& items);
}  // namespace pickle

/// Whether `text` contains every one of the parts; the rest of a message is free to improve.
bool mentions(const std::string& text, const std::vector<std::string>& parts);

}  // namespace turboclip::test
