#include "engine/error.h"

#include "engine/text.h"

namespace turboclip {

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::file_missing:
      return "file_missing";
    case ErrorCode::file_truncated:
      return "file_truncated";
    case ErrorCode::format_invalid:
      return "format_invalid";
    case ErrorCode::pickle_refused:
      return "pickle_refused";
    case ErrorCode::tensor_missing:
      return "tensor_missing";
    case ErrorCode::tensor_shape:
      return "tensor_shape";
    case ErrorCode::architecture_unknown:
      return "architecture_unknown";
    case ErrorCode::request_invalid:
      return "request_invalid";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::out_of_memory:
      return "out_of_memory";
    case ErrorCode::io:
      return "io";
    case ErrorCode::backend_unavailable:
      return "backend_unavailable";
    case ErrorCode::device_lost:
      return "device_lost";
    case ErrorCode::internal:
      return "internal";
  }
  return "internal";
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 120;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "'";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  if (text.size() > kLongest) out += "...";
  return out + "'";
}

}  // namespace turboclip
