// Building the sentences of error messages.
#pragma once

#include <sstream>
#include <string>
#include <string_view>

namespace turboclip {

/// The parts as operator<< prints them, one after another.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// 'text' in single quotes, fit for a message: bytes that a terminal would act on are shown as \xNN, and
/// anything past 120 bytes as an ellipsis, since names in a damaged or hostile file can be anything. (Not
/// called quoted: for a std::string, argument-dependent look-up would prefer std::quoted.)
std::string in_quotes(std::string_view text);

}  // namespace turboclip
