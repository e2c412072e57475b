#include "engine/checkpoint/pth_writer.h"

#include <cstring>

#include "engine/checkpoint/layout.h"
#include "engine/checkpoint/torch_storage.h"
#include "engine/text.h"

namespace turboclip {
namespace {

/// Opcodes of pickle protocol 2 (Lib/pickletools.py of CPython).
class Pickler {
 public:
  Pickler() { stream_ = "\x80\x02"; }

  Pickler& opcodes(std::string_view codes) {
    stream_ += codes;
    return *this;
  }
  Pickler& text(std::string_view value) {
    return opcodes("X").number<std::uint32_t>(value.size()).opcodes(value);
  }
  Pickler& global(std::string_view module, std::string_view name) {
    return opcodes("c").opcodes(module).opcodes("\n").opcodes(name).opcodes("\n");
  }
  Pickler& integer(std::int64_t value) {
    return value < (std::int64_t{1} << 31) ? opcodes("J").number<std::int32_t>(value)
                                           : opcodes("\x8a\x08").number<std::int64_t>(value);
  }
  Pickler& tuple(const Shape& values) {
    opcodes("(");
    for (const std::int64_t value : values) integer(value);
    return opcodes("t");
  }
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(stream_)); }

 private:
  template <class T, class Value>
  Pickler& number(Value value) {
    const auto stored = static_cast<T>(value);
    stream_.append(reinterpret_cast<const char*>(&stored), sizeof stored);
    return *this;
  }

  std::string stream_;
};

std::string_view storage_name(DType dtype) {
  for (const TorchStorage& storage : kTorchStorages) {
    if (storage.dtype == dtype) return storage.name;
  }
  return {};
}

/// _rebuild_tensor_v2(('storage', type, key, 'cpu', elements), offset, shape, strides, requires_grad, hooks)
void pickle_tensor(Pickler& out, const TensorSpec& spec, const std::string& key) {
  out.global("torch._utils", "_rebuild_tensor_v2").opcodes("((").text("storage");
  out.global("torch", storage_name(spec.dtype)).text(key).text("cpu");
  out.integer(element_count(spec.shape)).opcodes("tQ").integer(0);
  out.tuple(spec.shape).tuple(row_major_strides(spec.shape)).opcodes("\x89");
  out.global("collections", "OrderedDict").opcodes(")RtR");
}

constexpr std::string_view kFolder = "archive/";

}  // namespace

Status PthWriter::begin() {
  Pickler pickle;
  pickle.opcodes("}(");
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    pickle.text(specs_[i].name);
    pickle_tensor(pickle, specs_[i], std::to_string(i));
  }
  pickle.opcodes("u.");
  Status status = zip_.add(concat(kFolder, "data.pkl"), pickle.bytes());
  for (const auto& [name, text] : {std::pair<std::string_view, std::string_view>{".format_version", "1"},
                                   {".storage_alignment", "64"},
                                   {"byteorder", "little"}}) {
    if (status) status = zip_.add(concat(kFolder, name), std::as_bytes(std::span(text)));
  }
  return status;
}

Status PthWriter::add(std::span<const std::byte> bytes) {
  const TensorSpec& spec = specs_.at(next_);
  const std::optional<std::int64_t> expected = byte_count(spec.shape, spec.dtype);
  if (!expected || static_cast<std::uint64_t>(*expected) != bytes.size()) {
    return Error{ErrorCode::format_invalid,
                 concat("tensor ", in_quotes(spec.name), " of ", dtype_name(spec.dtype), " and shape ",
                        shape_text(spec.shape), " was given ", bytes.size(), " bytes")};
  }
  return zip_.add(concat(kFolder, "data/", next_++), bytes);
}

Status PthWriter::finish() {
  if (next_ != specs_.size()) {
    return Error{ErrorCode::format_invalid,
                 concat("tensor ", in_quotes(specs_[next_].name), " was promised and never given")};
  }
  constexpr std::string_view kVersion = "3\n";
  const Status status = zip_.add(concat(kFolder, "version"), std::as_bytes(std::span(kVersion)));
  return status ? zip_.finish() : status;
}

}  // namespace turboclip
