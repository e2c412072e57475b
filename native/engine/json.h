// A small, strict JSON reader for safetensors headers and a golden set's meta.json (RFC 8259, no
// extensions). Limits on depth and size keep a hostile header from costing more than it weighs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/error.h"

namespace turboclip {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  // in the file's order, keys unique
  using Value = std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Object>;

  Json() : value_(nullptr) {}
  explicit Json(Value value) : value_(std::move(value)) {}

  /// The whole text as one value. format_invalid with the byte's position otherwise.
  static Result<Json> parse(std::string_view text);

  /// nullptr unless the value is of that kind.
  const Array* array() const { return std::get_if<Array>(&value_); }
  const Object* object() const { return std::get_if<Object>(&value_); }
  const std::string* string() const { return std::get_if<std::string>(&value_); }
  /// Only numbers written without fraction or exponent that fit 64 bits.
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&value_); }
  /// Any number; false when the value is none.
  bool number(double& out) const;
  /// The member of an object, nullptr when this is no object or has no such key.
  const Json* find(std::string_view key) const;

 private:
  Value value_;
};

}  // namespace turboclip
