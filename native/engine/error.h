// Errors as values: nothing below the addon border throws past it or aborts the process.
// A message says what happened, to which value, and what to do about it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace turboclip {

enum class ErrorCode {
  file_missing,          // a path that does not open
  file_truncated,        // fewer bytes than the format promises
  format_invalid,        // not the format that its name says, or a header out of bounds
  pickle_refused,        // a .pth asks for a global or opcode that the reader does not know
  tensor_missing,        // a checkpoint lacks a tensor that the architecture needs
  tensor_shape,          // a tensor is there with another shape or type
  architecture_unknown,  // the tensors are of no model that the engine knows
  request_invalid,       // sizes, steps or tokens that the model cannot take
  cancelled,             // the caller asked to stop
  out_of_memory,
  io,  // reading or writing failed after a successful open
  backend_unavailable,
  device_lost,  // a card that answers no more until the process has ended
  internal,
};

/// The code's stable name, as it crosses the addon border and appears in logs.
std::string_view error_code_name(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;
};

/// A value or an Error. The accessors require the matching state.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  T* operator->() { return &value(); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

struct Unit {};
/// Success without a value, or an Error.
using Status = Result<Unit>;
inline Status success() { return Unit{}; }

}  // namespace turboclip
