#include <algorithm>
#include <cstring>
#include <fstream>

#include "engine/checkpoint/safetensors.h"
#include "engine/text.h"

namespace turboclip {
namespace {

std::string json_string(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

Status write_safetensors(const std::filesystem::path& path, std::vector<NamedBytes> tensors) {
  // Widest types first keeps every tensor aligned to its type, as the reference writer does.
  std::sort(tensors.begin(), tensors.end(), [](const NamedBytes& a, const NamedBytes& b) {
    const std::size_t left = dtype_size(a.dtype);
    const std::size_t right = dtype_size(b.dtype);
    return left != right ? left > right : a.name < b.name;
  });
  std::ostringstream header;
  header << '{';
  std::uint64_t offset = 0;
  for (const NamedBytes& tensor : tensors) {
    header << (offset == 0 && &tensor == &tensors.front() ? "" : ",") << json_string(tensor.name)
           << ":{\"dtype\":\"" << dtype_name(tensor.dtype) << "\",\"shape\":[";
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) header << (i == 0 ? "" : ",") << tensor.shape[i];
    header << "],\"data_offsets\":[" << offset << ',' << offset + tensor.bytes.size() << "]}";
    offset += tensor.bytes.size();
  }
  header << '}';
  std::string text = header.str();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t header_size = text.size();

  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(&header_size), sizeof header_size);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  for (const NamedBytes& tensor : tensors) {
    out.write(reinterpret_cast<const char*>(tensor.bytes.data()),
              static_cast<std::streamsize>(tensor.bytes.size()));
  }
  out.close();
  if (!out) {
    return Error{ErrorCode::io, concat(path.string(), ": cannot be written: ", std::strerror(errno),
                                       "; check that its folder exists and has room")};
  }
  return success();
}

}  // namespace turboclip
