#include "engine/json.h"

#include <charconv>
#include <unordered_set>

#include "engine/text.h"

namespace turboclip {
namespace {

constexpr int kMaxDepth = 16;
constexpr std::size_t kMaxValues = std::size_t{1} << 22;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<Json> whole() {
    Json value;
    if (!parse_value(value, 0)) return error();
    skip_space();
    if (at_ != text_.size()) {
      fail("more text after the value");
      return error();
    }
    return value;
  }

 private:
  Error error() const {
    return Error{ErrorCode::format_invalid, concat("JSON at byte ", at_, ": ", problem_)};
  }
  bool fail(std::string_view problem) {
    if (problem_.empty()) problem_ = problem;
    return false;
  }
  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return fail("not a value");
    at_ += word.size();
    return true;
  }

  bool parse_value(Json& out, int depth) {
    if (depth > kMaxDepth) return fail("nested deeper than 16");
    if (++values_ > kMaxValues) return fail("more than 4194304 values");
    skip_space();
    if (at_ >= text_.size()) return fail("the text ends early");
    switch (text_[at_]) {
      case '{':
        return parse_object(out, depth);
      case '[':
        return parse_array(out, depth);
      case '"': {
        std::string text;
        if (!parse_string(text)) return false;
        out = Json(std::move(text));
        return true;
      }
      case 't':
        out = Json(true);
        return take_word("true");
      case 'f':
        out = Json(false);
        return take_word("false");
      case 'n':
        out = Json(nullptr);
        return take_word("null");
      default:
        return parse_number(out);
    }
  }

  bool parse_object(Json& out, int depth) {
    ++at_;
    Json::Object members;
    std::unordered_set<std::string> keys;
    skip_space();
    if (!take('}')) {
      do {
        skip_space();
        std::string key;
        if (!parse_string(key)) return false;
        if (!keys.insert(key).second) return fail("the key " + in_quotes(key) + " stands twice");
        skip_space();
        if (!take(':')) return fail("':' expected");
        Json value;
        if (!parse_value(value, depth + 1)) return false;
        members.emplace_back(std::move(key), std::move(value));
        skip_space();
      } while (take(','));
      if (!take('}')) return fail("',' or '}' expected");
    }
    out = Json(std::move(members));
    return true;
  }

  bool parse_array(Json& out, int depth) {
    ++at_;
    Json::Array items;
    skip_space();
    if (!take(']')) {
      do {
        Json value;
        if (!parse_value(value, depth + 1)) return false;
        items.push_back(std::move(value));
        skip_space();
      } while (take(','));
      if (!take(']')) return fail("',' or ']' expected");
    }
    out = Json(std::move(items));
    return true;
  }

  bool parse_string(std::string& out) {
    if (!take('"')) return fail("a string expected");
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) return fail("a control character in a string");
      ++at_;
      if (c == '"') return true;
      if (c != '\\') {
        out += c;
      } else if (!parse_escape(out)) {
        return false;
      }
    }
    return fail("a string does not end");
  }

  bool parse_escape(std::string& out) {
    if (at_ >= text_.size()) return fail("a string does not end");
    constexpr std::string_view kFrom = "\"\\/bfnrt";
    constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
    const char c = text_[at_++];
    if (c == 'u') return parse_unicode(out);
    const std::size_t which = kFrom.find(c);
    if (which == std::string_view::npos) return fail("an unknown escape");
    out += kTo[which];
    return true;
  }

  bool parse_hex4(std::uint32_t& out) {
    if (text_.size() - at_ < 4) return fail("a string does not end");
    const char* end = text_.data() + at_ + 4;
    const auto [stop, problem] = std::from_chars(text_.data() + at_, end, out, 16);
    if (problem != std::errc() || stop != end) return fail("four hexadecimal digits expected");
    at_ += 4;
    return true;
  }

  bool parse_unicode(std::string& out) {
    std::uint32_t code = 0;
    if (!parse_hex4(code)) return false;
    if (code >= 0xd800 && code < 0xdc00) {
      std::uint32_t low = 0;
      if (!take('\\') || !take('u') || !parse_hex4(low) || low < 0xdc00 || low > 0xdfff) {
        return fail("half a surrogate pair");
      }
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code <= 0xdfff) {
      return fail("half a surrogate pair");
    }
    append_utf8(out, code);
    return true;
  }

  static void append_utf8(std::string& out, std::uint32_t code) {
    const auto byte = [&out](std::uint32_t value) { out += static_cast<char>(value); };
    if (code < 0x80) {
      byte(code);
    } else if (code < 0x800) {
      byte(0xc0 | (code >> 6));
      byte(0x80 | (code & 63));
    } else if (code < 0x10000) {
      byte(0xe0 | (code >> 12));
      byte(0x80 | ((code >> 6) & 63));
      byte(0x80 | (code & 63));
    } else {
      byte(0xf0 | (code >> 18));
      byte(0x80 | ((code >> 12) & 63));
      byte(0x80 | ((code >> 6) & 63));
      byte(0x80 | (code & 63));
    }
  }

  bool digits() {
    const std::size_t first = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ > first;
  }

  bool parse_number(Json& out) {
    const std::size_t first = at_;
    take('-');
    const bool leading_zero = at_ < text_.size() && text_[at_] == '0';
    const std::size_t whole = at_;
    if (!digits()) return fail("not a value");
    if (leading_zero && at_ - whole > 1) return fail("a number with a leading zero");
    bool integral = true;
    if (take('.')) {
      integral = false;
      if (!digits()) return fail("digits expected after the point");
    }
    if (take('e') || take('E')) {
      integral = false;
      if (!take('+')) take('-');
      if (!digits()) return fail("digits expected in the exponent");
    }
    const char* begin = text_.data() + first;
    const char* end = text_.data() + at_;
    std::int64_t integer = 0;
    if (integral && std::from_chars(begin, end, integer).ec == std::errc()) {
      out = Json(integer);
      return true;
    }
    double real = 0;
    if (std::from_chars(begin, end, real).ec != std::errc()) return fail("a number out of range");
    out = Json(real);
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t values_ = 0;
  std::string problem_;
};

}  // namespace

Result<Json> Json::parse(std::string_view text) { return Parser(text).whole(); }

bool Json::number(double& out) const {
  if (const auto* integer = std::get_if<std::int64_t>(&value_)) {
    out = static_cast<double>(*integer);
    return true;
  }
  if (const auto* real = std::get_if<double>(&value_)) {
    out = *real;
    return true;
  }
  return false;
}

const Json* Json::find(std::string_view key) const {
  const Object* members = object();
  if (members == nullptr) return nullptr;
  for (const auto& [name, value] : *members) {
    if (name == key) return &value;
  }
  return nullptr;
}

}  // namespace turboclip
