#include "engine/checkpoint/pickle.h"

#include <bit>
#include <cstring>
#include <string_view>
#include <unordered_map>

#include "engine/text.h"

namespace turboclip {
namespace {

using Kind = PickleValue::Kind;

// A 14B checkpoint's pickle holds about 40,000 values in 300 KB.
constexpr std::size_t kMaxStream = std::size_t{64} << 20;
constexpr std::size_t kMaxValues = std::size_t{1} << 22;
constexpr std::size_t kMaxStack = std::size_t{1} << 20;
constexpr std::size_t kMaxMemo = std::size_t{1} << 22;
constexpr std::size_t kMaxText = std::size_t{1} << 20;
constexpr std::size_t kMaxGlobalLine = 256;

class Machine {
 public:
  Machine(std::span<const std::byte> stream, PickleHost& host) : stream_(stream), host_(host) {}

  Result<Pickled> run() {
    if (stream_.size() > kMaxStream) return invalid("is longer than 64 MiB");
    if (stream_.size() < 2 || byte_at(0) != 0x80) return invalid("does not begin with a protocol number");
    if (byte_at(1) < 2 || byte_at(1) > 5) {
      return invalid(concat("has protocol ", byte_at(1), ", and 2 to 5 are read"));
    }
    at_ = 2;
    while (!stopped_) {
      if (at_ >= stream_.size()) return truncated();
      if (!step(byte_at(at_++))) return std::move(error_);
    }
    if (at_ != stream_.size()) return invalid("goes on after its end");
    if (stack_.size() != 1 || !marks_.empty()) return invalid("leaves more than one value");
    return Pickled{std::move(arena_), stack_.front()};
  }

 private:
  unsigned byte_at(std::size_t at) const { return static_cast<unsigned>(stream_[at]); }

  Error invalid(const std::string& what) const {
    return Error{ErrorCode::format_invalid, concat("the pickle ", what, " (byte ", at_, ")")};
  }
  Error truncated() const {
    return Error{ErrorCode::file_truncated, concat("the pickle ends early, at byte ", stream_.size())};
  }
  bool fail(Error error) {
    error_ = std::move(error);
    return false;
  }
  bool refuse_opcode(unsigned opcode, std::string_view name) {
    return fail(Error{ErrorCode::pickle_refused,
                      concat("refuses the pickle opcode ", name, " (", opcode, ") at byte ", at_ - 1)});
  }

  template <class T>
  bool read(T& out) {
    if (stream_.size() - at_ < sizeof out) return fail(truncated());
    std::memcpy(&out, stream_.data() + at_, sizeof out);
    at_ += sizeof out;
    return true;
  }
  bool read_text(std::uint64_t size, std::string& out) {
    if (size > kMaxText)
      return fail(invalid(concat("holds a string of ", size, " bytes, above the limit of 1 MiB")));
    if (stream_.size() - at_ < size) return fail(truncated());
    out.assign(reinterpret_cast<const char*>(stream_.data()) + at_, size);
    at_ += size;
    return true;
  }
  bool read_line(std::string& out) {
    while (true) {
      if (at_ >= stream_.size()) return fail(truncated());
      const char c = static_cast<char>(byte_at(at_++));
      if (c == '\n') return true;
      if (out.size() >= kMaxGlobalLine) return fail(invalid("names a global of more than 256 bytes"));
      out += c;
    }
  }

  bool push_ref(PickleRef ref) {
    if (stack_.size() >= kMaxStack) return fail(invalid("stacks more than 1048576 values"));
    stack_.push_back(ref);
    return true;
  }
  bool push(PickleValue value) {
    if (arena_.size() >= kMaxValues) return fail(invalid("holds more than 4194304 values"));
    arena_.push_back(std::move(value));
    return push_ref(static_cast<PickleRef>(arena_.size() - 1));
  }
  bool push_integer(std::int64_t integer, Kind kind = Kind::integer) {
    PickleValue value;
    value.kind = kind;
    value.integer = integer;
    return push(std::move(value));
  }
  bool push_kind(Kind kind) {
    PickleValue value;
    value.kind = kind;
    return push(std::move(value));
  }
  template <class Length>
  bool push_text(Kind kind) {
    Length size = 0;
    PickleValue value;
    value.kind = kind;
    return read(size) && read_text(size, value.text) && push(std::move(value));
  }

  /// Values above the topmost mark may be taken; those below belong to whoever pushed the mark.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  bool pop(PickleRef& out) {
    if (stack_.size() <= floor()) return fail(invalid("takes a value from an empty stack"));
    out = stack_.back();
    stack_.pop_back();
    return true;
  }
  bool pop_to_mark(std::vector<PickleRef>& out) {
    if (marks_.empty()) return fail(invalid("refers to a mark that is not there"));
    out.assign(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return true;
  }
  bool top_of_kind(Kind kind, PickleRef& out) {
    if (stack_.size() <= floor() || arena_[stack_.back()].kind != kind) {
      return fail(invalid("adds items to what cannot hold them"));
    }
    out = stack_.back();
    return true;
  }

  bool push_tuple_of(std::size_t count) {
    PickleValue value;
    value.kind = Kind::tuple;
    value.items.resize(count);
    for (std::size_t i = count; i-- > 0;) {
      if (!pop(value.items[i])) return false;
    }
    return push(std::move(value));
  }
  bool push_marked_tuple() {
    PickleValue value;
    value.kind = Kind::tuple;
    return pop_to_mark(value.items) && push(std::move(value));
  }
  bool append(Kind kind, const std::vector<PickleRef>& items) {
    PickleRef target = 0;
    if (kind == Kind::dict && items.size() % 2 != 0) return fail(invalid("has a key without a value"));
    if (!top_of_kind(kind, target)) return false;
    auto& held = arena_[target].items;
    held.insert(held.end(), items.begin(), items.end());
    return true;
  }
  bool append_marked(Kind kind) {
    std::vector<PickleRef> items;
    return pop_to_mark(items) && append(kind, items);
  }
  bool append_popped(Kind kind, std::size_t count) {
    std::vector<PickleRef> items(count);
    for (std::size_t i = count; i-- > 0;) {
      if (!pop(items[i])) return false;
    }
    return append(kind, items);
  }

  bool memo_put(std::uint64_t index) {
    if (stack_.size() <= floor()) return fail(invalid("memorises from an empty stack"));
    if (memo_.size() >= kMaxMemo) return fail(invalid("memorises more than 4194304 values"));
    memo_[index] = stack_.back();
    return true;
  }
  bool memo_get(std::uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end())
      return fail(invalid(concat("recalls value ", index, ", which it never memorised")));
    return push_ref(found->second);
  }
  template <class Index>
  bool memo(bool (Machine::*action)(std::uint64_t)) {
    Index index = 0;
    return read(index) && (this->*action)(index);
  }

  bool push_global(const std::string& module, const std::string& name) {
    PickleValue value;
    value.kind = Kind::global;
    value.text = module + "." + name;
    if (!host_.knows_global(value.text)) return refuse_global(value.text);
    return push(std::move(value));
  }
  bool refuse_global(const std::string& qualified_name) {
    return fail(
        Error{ErrorCode::pickle_refused, concat("refuses to load ", in_quotes(qualified_name),
                                                ", since a checkpoint needs tensors and nothing else")});
  }
  bool global_from_lines() {
    std::string module;
    std::string name;
    return read_line(module) && read_line(name) && push_global(module, name);
  }
  bool global_from_stack() {
    PickleRef name = 0;
    PickleRef module = 0;
    if (!pop(name) || !pop(module)) return false;
    if (arena_[name].kind != Kind::text || arena_[module].kind != Kind::text) {
      return fail(invalid("names a global by something that is no string"));
    }
    return push_global(std::string(arena_[module].text), std::string(arena_[name].text));
  }
  /// INST names a class and instantiates it at once: never needed, but the refusal should name the class.
  bool refuse_instance() {
    std::string module;
    std::string name;
    return read_line(module) && read_line(name) && refuse_global(module + "." + name);
  }

  bool reduce() {
    PickleRef arguments = 0;
    PickleRef callable = 0;
    if (!pop(arguments) || !pop(callable)) return false;
    if (arena_[callable].kind != Kind::global || arena_[arguments].kind != Kind::tuple) {
      return fail(invalid("calls something that is no known function"));
    }
    Result<PickleValue> value = host_.call(arena_[callable].text, arena_[arguments], arena_);
    return value ? push(std::move(value).value()) : fail(value.error());
  }
  bool persistent() {
    PickleRef id = 0;
    if (!pop(id)) return false;
    Result<PickleValue> value = host_.persistent(arena_[id], arena_);
    return value ? push(std::move(value).value()) : fail(value.error());
  }
  /// torch gives an OrderedDict its version metadata this way; it says nothing about tensors.
  bool drop_attributes() {
    PickleRef attributes = 0;
    PickleRef target = 0;
    if (!pop(attributes)) return false;
    if (arena_[attributes].kind != Kind::dict) return fail(invalid("sets attributes that are no dict"));
    return top_of_kind(Kind::dict, target);
  }

  bool long1() {
    std::uint8_t size = 0;
    if (!read(size)) return false;
    if (size > 8) return fail(invalid(concat("holds an integer of ", unsigned{size}, " bytes")));
    if (stream_.size() - at_ < size) return fail(truncated());
    std::uint64_t bits = 0;
    std::memcpy(&bits, stream_.data() + at_, size);
    if (size > 0 && size < 8 && (byte_at(at_ + size - 1) & 0x80) != 0)
      bits |= ~std::uint64_t{0} << (8 * size);
    at_ += size;
    return push_integer(std::bit_cast<std::int64_t>(bits));
  }
  template <class T>
  bool push_read_integer() {
    T value = 0;
    return read(value) && push_integer(value);
  }
  bool binfloat() {
    std::uint64_t bits = 0;
    if (!read(bits)) return false;
    PickleValue value;
    value.kind = Kind::real;
    value.real = std::bit_cast<double>(__builtin_bswap64(bits));
    return push(std::move(value));
  }
  bool frame() {
    std::uint64_t size = 0;
    if (!read(size)) return false;
    return size <= stream_.size() - at_ || fail(truncated());
  }
  bool mark() {
    if (marks_.size() >= kMaxStack) return fail(invalid("stacks more than 1048576 marks"));
    marks_.push_back(stack_.size());
    return true;
  }
  bool duplicate() {
    if (stack_.size() <= floor()) return fail(invalid("takes a value from an empty stack"));
    return push_ref(stack_.back());
  }
  bool drop() {
    PickleRef ignored = 0;
    return pop(ignored);
  }

  bool step(unsigned opcode) {
    switch (opcode) {
      case '.':
        stopped_ = true;
        return true;
      case 0x95:
        return frame();
      case '(':
        return mark();
      case '0':
        return drop();
      case '2':
        return duplicate();
      case 'N':
        return push_kind(Kind::none);
      case 0x88:
        return push_integer(1, Kind::boolean);
      case 0x89:
        return push_integer(0, Kind::boolean);
      case 'K':
        return push_read_integer<std::uint8_t>();
      case 'M':
        return push_read_integer<std::uint16_t>();
      case 'J':
        return push_read_integer<std::int32_t>();
      case 0x8a:
        return long1();
      case 'G':
        return binfloat();
      case 0x8c:
        return push_text<std::uint8_t>(Kind::text);
      case 'X':
        return push_text<std::uint32_t>(Kind::text);
      case 0x8d:
        return push_text<std::uint64_t>(Kind::text);
      case 'C':
        return push_text<std::uint8_t>(Kind::bytes);
      case 'B':
        return push_text<std::uint32_t>(Kind::bytes);
      case ')':
        return push_kind(Kind::tuple);
      case 0x85:
        return push_tuple_of(1);
      case 0x86:
        return push_tuple_of(2);
      case 0x87:
        return push_tuple_of(3);
      case 't':
        return push_marked_tuple();
      case ']':
        return push_kind(Kind::list);
      case 'a':
        return append_popped(Kind::list, 1);
      case 'e':
        return append_marked(Kind::list);
      case '}':
        return push_kind(Kind::dict);
      case 's':
        return append_popped(Kind::dict, 2);
      case 'u':
        return append_marked(Kind::dict);
      case 'q':
        return memo<std::uint8_t>(&Machine::memo_put);
      case 'r':
        return memo<std::uint32_t>(&Machine::memo_put);
      case 0x94:
        return memo_put(memo_.size());
      case 'h':
        return memo<std::uint8_t>(&Machine::memo_get);
      case 'j':
        return memo<std::uint32_t>(&Machine::memo_get);
      case 'c':
        return global_from_lines();
      case 0x93:
        return global_from_stack();
      case 'R':
        return reduce();
      case 'b':
        return drop_attributes();
      case 'Q':
        return persistent();
      case 'i':
        return refuse_instance();
      case 'o':
        return refuse_opcode(opcode, "OBJ");
      case 0x81:
        return refuse_opcode(opcode, "NEWOBJ");
      case 0x92:
        return refuse_opcode(opcode, "NEWOBJ_EX");
      case 0x82:
      case 0x83:
      case 0x84:
        return refuse_opcode(opcode, "EXT");
      default:
        return refuse_opcode(opcode, "of no checkpoint");
    }
  }

  std::span<const std::byte> stream_;
  PickleHost& host_;
  std::size_t at_ = 0;
  bool stopped_ = false;
  Error error_;
  std::vector<PickleValue> arena_;
  std::vector<PickleRef> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<std::uint64_t, PickleRef> memo_;
};

}  // namespace

Result<Pickled> run_pickle(std::span<const std::byte> stream, PickleHost& host) {
  return Machine(stream, host).run();
}

}  // namespace turboclip
