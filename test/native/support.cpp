#include "support.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace turboclip::test {

std::filesystem::path fixture(const std::string& name) {
  const char* folder = std::getenv("TURBOCLIP_FIXTURES");
  return std::filesystem::path(folder != nullptr ? folder : TURBOCLIP_FIXTURES_DIR) / name;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "turboclip-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder " + pattern);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path TemporaryFolder::write(const std::string& name, std::string_view bytes) const {
  const std::filesystem::path path = path_ / name;
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string safetensors_bytes(const std::string& header, const std::string& data) {
  return raw_value<std::uint64_t>(header.size()) + header + data;
}

std::string zip_bytes(const std::vector<ZipEntry>& entries) {
  std::string file;
  std::string directory;
  for (const ZipEntry& entry : entries) {
    const auto size = static_cast<std::uint32_t>(entry.bytes.size());
    const auto name_size = static_cast<std::uint16_t>(entry.name.size());
    const auto offset = static_cast<std::uint32_t>(file.size());
    const std::string common = raw<std::uint16_t>({0, entry.method, 0, 0}) +
                               raw<std::uint32_t>({0, size, size}) + raw<std::uint16_t>({name_size, 0});
    file += raw_value<std::uint32_t>(0x04034b50) + raw_value<std::uint16_t>(0) + common + entry.name +
            entry.bytes;
    directory += raw_value<std::uint32_t>(0x02014b50) + raw<std::uint16_t>({0, 0}) + common +
                 raw<std::uint16_t>({0, 0, 0}) + raw<std::uint32_t>({0, offset}) + entry.name;
  }
  const auto count = static_cast<std::uint16_t>(entries.size());
  const auto at = static_cast<std::uint32_t>(file.size());
  return file + directory + raw_value<std::uint32_t>(0x06054b50) + raw<std::uint16_t>({0, 0, count, count}) +
         raw<std::uint32_t>({static_cast<std::uint32_t>(directory.size()), at}) + raw_value<std::uint16_t>(0);
}

std::string pth_bytes(const std::string& pickle, const std::vector<std::string>& storages) {
  std::vector<ZipEntry> entries = {{"model/data.pkl", pickle}, {"model/byteorder", "little"}};
  for (std::size_t i = 0; i < storages.size(); ++i) {
    entries.push_back({"model/data/" + std::to_string(i), storages[i]});
  }
  entries.push_back({"model/version", "3\n"});
  return zip_bytes(entries);
}

namespace pickle {

std::string text(const std::string& value) {
  return "X" + raw_value<std::uint32_t>(static_cast<std::uint32_t>(value.size())) + value;
}

std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

std::string integer(std::int64_t value) { return "\x8a\x08" + raw_value(value); }

std::string tuple(const std::vector<std::int64_t>& values) {
  std::string out = "(";
  for (const std::int64_t value : values) out += integer(value);
  return out + "t";
}

std::string tensor(const std::string& type, const std::string& key, std::int64_t elements,
                   std::int64_t offset, const std::vector<std::int64_t>& shape,
                   const std::vector<std::int64_t>& strides) {
  const std::string storage =
      "(" + text("storage") + global("torch", type) + text(key) + text("cpu") + integer(elements) + "tQ";
  const std::string hooks = global("collections", "OrderedDict") + ")R";
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + storage + integer(offset) + tuple(shape) +
         tuple(strides) + "\x89" + hooks + "tR";
}

std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "}(";
  for (const auto& [name, value] : items) out += text(name) + value;
  return out + "u";
}

std::string state_dict(const std::vector<std::pair<std::string, std::string>>& items) {
  return "\x80\x02" + dict(items) + ".";
}

}  // namespace pickle

bool mentions(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    if (text.find(part) == std::string::npos) return false;
  }
  return true;
}

}  // namespace turboclip::test
