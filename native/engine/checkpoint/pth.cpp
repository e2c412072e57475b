#include "engine/checkpoint/pth.h"

#include <optional>
#include <string_view>
#include <vector>

#include "engine/checkpoint/layout.h"
#include "engine/checkpoint/pickle.h"
#include "engine/checkpoint/torch_storage.h"
#include "engine/checkpoint/zip_archive.h"
#include "engine/text.h"

namespace turboclip {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view kRebuildTensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kRebuildParameter = "torch._utils._rebuild_parameter";
constexpr std::string_view kOrderedDict = "collections.OrderedDict";
constexpr std::size_t kMaxTensors = 100'000;
constexpr std::size_t kMaxRank = 8;
/// A view may repeat elements (stride 0). Such a view of more elements than its storage has is bounded, or a
/// file of a few bytes could ask for all memory.
constexpr std::int64_t kMaxRepeatedElements = std::int64_t{1} << 28;

std::optional<DType> storage_dtype(std::string_view global) {
  constexpr std::string_view kModule = "torch.";
  if (!global.starts_with(kModule)) return std::nullopt;
  for (const TorchStorage& storage : kTorchStorages) {
    if (storage.name == global.substr(kModule.size())) return storage.dtype;
  }
  return std::nullopt;
}

struct Storage {
  DType dtype;
  std::int64_t elements;
  std::span<const std::byte> bytes;
};

/// Knows tensors, their storages and the ordered dict they come in; nothing else.
class TorchHost : public PickleHost {
 public:
  TorchHost(const ZipEntries& entries, std::string prefix) : entries_(entries), prefix_(std::move(prefix)) {}

  const TensorView* tensor(const PickleValue& value) const {
    if (value.kind != Kind::host_object || value.text != "tensor") return nullptr;
    return &tensors_[static_cast<std::size_t>(value.integer)];
  }

  bool knows_global(const std::string& name) const override {
    return name == kRebuildTensor || name == kRebuildParameter || name == kOrderedDict ||
           storage_dtype(name).has_value();
  }

  Result<PickleValue> call(const std::string& name, const PickleValue& arguments,
                           const std::vector<PickleValue>& arena) override {
    if (name == kOrderedDict) return ordered_dict(arguments);
    if (name == kRebuildTensor) return rebuild_tensor(arguments, arena);
    if (name == kRebuildParameter) return rebuild_parameter(arguments, arena);
    return invalid(concat("calls ", in_quotes(name)));
  }

  /// ('storage', type, key, location, elements)
  Result<PickleValue> persistent(const PickleValue& id, const std::vector<PickleValue>& arena) override {
    if (id.kind != Kind::tuple || id.items.size() != 5) return invalid("has a storage id of another form");
    const PickleValue& tag = arena[id.items[0]];
    const PickleValue& type = arena[id.items[1]];
    const PickleValue& key = arena[id.items[2]];
    const PickleValue& count = arena[id.items[4]];
    const std::optional<DType> dtype = storage_dtype(type.text);
    if (tag.kind != Kind::text || tag.text != "storage" || type.kind != Kind::global || !dtype ||
        key.kind != Kind::text || count.kind != Kind::integer) {
      return invalid("has a storage id of another form");
    }
    const std::optional<std::int64_t> promised = byte_count({count.integer}, *dtype);
    const auto entry = entries_.find(prefix_ + "data/" + key.text);
    if (entry == entries_.end())
      return invalid(concat("refers to the missing storage ", in_quotes(key.text)));
    if (!promised || static_cast<std::uint64_t>(*promised) != entry->second.size()) {
      return invalid(concat("promises ", count.integer, " values of ", dtype_name(*dtype), " in storage ",
                            in_quotes(key.text), ", which holds ", entry->second.size(), " bytes"));
    }
    storages_.push_back({*dtype, count.integer, entry->second});
    return object("storage", storages_.size() - 1);
  }

 private:
  static Error invalid(const std::string& what) {
    return Error{ErrorCode::format_invalid, concat("the pickle ", what)};
  }
  static PickleValue object(std::string_view what, std::size_t index) {
    PickleValue value;
    value.kind = Kind::host_object;
    value.text = what;
    value.integer = static_cast<std::int64_t>(index);
    return value;
  }

  static Result<PickleValue> ordered_dict(const PickleValue& arguments) {
    if (!arguments.items.empty()) return invalid("fills an OrderedDict in an unknown way");
    PickleValue value;
    value.kind = Kind::dict;
    return value;
  }

  static std::optional<Shape> integers(const PickleValue& value, const std::vector<PickleValue>& arena) {
    if (value.kind != Kind::tuple || value.items.size() > kMaxRank) return std::nullopt;
    Shape out;
    for (const PickleRef item : value.items) {
      if (arena[item].kind != Kind::integer || arena[item].integer < 0) return std::nullopt;
      out.push_back(arena[item].integer);
    }
    return out;
  }

  /// (storage, offset, size, stride, requires_grad, hooks[, metadata])
  Result<PickleValue> rebuild_tensor(const PickleValue& arguments, const std::vector<PickleValue>& arena) {
    if (arguments.items.size() != 6 && arguments.items.size() != 7) {
      return invalid("describes a tensor by another number of arguments");
    }
    const PickleValue& source = arena[arguments.items[0]];
    const PickleValue& offset = arena[arguments.items[1]];
    const auto shape = integers(arena[arguments.items[2]], arena);
    const auto strides = integers(arena[arguments.items[3]], arena);
    if (source.kind != Kind::host_object || source.text != "storage" || offset.kind != Kind::integer ||
        offset.integer < 0 || !shape || !strides || shape->size() != strides->size()) {
      return invalid(
          "describes a tensor without storage, offset, sizes and strides (at most 8, none negative)");
    }
    const Storage& storage = storages_[static_cast<std::size_t>(source.integer)];
    if (!fits(storage, offset.integer, *shape, *strides)) {
      return invalid(concat("describes a tensor of shape ", shape_text(*shape), ", strides ",
                            shape_text(*strides), " at element ", offset.integer, " of a storage of ",
                            storage.elements));
    }
    if (tensors_.size() >= kMaxTensors) return invalid("holds more than 100000 tensors");
    const auto skip = static_cast<std::size_t>(offset.integer) * dtype_size(storage.dtype);
    const bool empty = element_count(*shape) == 0;
    tensors_.push_back({storage.dtype, *shape, *strides, storage.bytes.data() + (empty ? 0 : skip)});
    return object("tensor", tensors_.size() - 1);
  }

  /// Whether every element that the view can reach lies inside the storage.
  static bool fits(const Storage& storage, std::int64_t offset, const Shape& shape, const Shape& strides) {
    const std::optional<std::int64_t> bytes = byte_count(shape, storage.dtype);
    if (!bytes) return false;
    if (*bytes == 0) return true;
    const std::int64_t elements = *bytes / static_cast<std::int64_t>(dtype_size(storage.dtype));
    if (elements > storage.elements && elements > kMaxRepeatedElements) return false;
    std::int64_t last = offset;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      std::int64_t reach = 0;
      if (__builtin_mul_overflow(shape[i] - 1, strides[i], &reach)) return false;
      if (__builtin_add_overflow(last, reach, &last)) return false;
    }
    return last < storage.elements;
  }

  /// (tensor, requires_grad, hooks)
  Result<PickleValue> rebuild_parameter(const PickleValue& arguments, const std::vector<PickleValue>& arena) {
    if (arguments.items.size() != 3 || tensor(arena[arguments.items[0]]) == nullptr) {
      return invalid("describes a parameter without a tensor");
    }
    return PickleValue(arena[arguments.items[0]]);
  }

  const ZipEntries& entries_;
  std::string prefix_;
  std::vector<Storage> storages_;
  std::vector<TensorView> tensors_;
};

const PickleValue* find_dict(const PickleValue& dict, std::string_view key,
                             const std::vector<PickleValue>& arena) {
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleValue& name = arena[dict.items[i]];
    const PickleValue& value = arena[dict.items[i + 1]];
    if (name.kind == Kind::text && name.text == key && value.kind == Kind::dict) return &value;
  }
  return nullptr;
}

/// The dict's tensors by name; nothing when it holds none.
Result<std::map<std::string, TensorView, std::less<>>> tensors_of(const PickleValue& dict,
                                                                  const std::vector<PickleValue>& arena,
                                                                  const TorchHost& host) {
  std::map<std::string, TensorView, std::less<>> tensors;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleValue& name = arena[dict.items[i]];
    const TensorView* view = host.tensor(arena[dict.items[i + 1]]);
    if (view == nullptr || name.kind != Kind::text) continue;
    if (!tensors.emplace(name.text, *view).second) {
      return Error{ErrorCode::format_invalid,
                   concat("the pickle holds tensor ", in_quotes(name.text), " twice")};
    }
  }
  return tensors;
}

/// "<name>/" of the archive's single folder, found by its data.pkl.
std::optional<std::string> archive_prefix(const ZipEntries& entries) {
  constexpr std::string_view kPickle = "data.pkl";
  for (const auto& [name, bytes] : entries) {
    if (!name.ends_with(kPickle)) continue;
    const std::string prefix = name.substr(0, name.size() - kPickle.size());
    if (prefix.empty() || prefix.find('/') == prefix.size() - 1) return prefix;
  }
  return std::nullopt;
}

Error in_file(const std::filesystem::path& path, const Error& error) {
  const std::string_view remedy = error.code == ErrorCode::pickle_refused
                                      ? "; use a file from a source you trust, or convert it to safetensors"
                                      : "; fetch the file again or save it anew with torch.save";
  return Error{error.code, concat(path.string(), ": ", error.message, remedy)};
}

}  // namespace

Result<std::map<std::string, TensorView, std::less<>>> read_pth(std::span<const std::byte> file,
                                                                const std::filesystem::path& path) {
  const Result<ZipEntries> entries = read_zip(file, path);
  if (!entries) return entries.error();
  const std::optional<std::string> prefix = archive_prefix(entries.value());
  if (!prefix) {
    return in_file(path, Error{ErrorCode::format_invalid, "is a zip archive without data.pkl, so no .pth"});
  }
  const auto order = entries.value().find(*prefix + "byteorder");
  if (order != entries.value().end()) {
    const std::string_view text(reinterpret_cast<const char*>(order->second.data()), order->second.size());
    if (text != "little") {
      return in_file(path, Error{ErrorCode::format_invalid,
                                 concat("has byte order ", in_quotes(text), ", and only 'little' is read")});
    }
  }
  TorchHost host(entries.value(), *prefix);
  const Result<Pickled> pickled = run_pickle(entries.value().find(*prefix + "data.pkl")->second, host);
  if (!pickled) return in_file(path, pickled.error());
  const std::vector<PickleValue>& arena = pickled.value().arena;
  const PickleValue* dict = &arena[pickled.value().root];
  if (dict->kind != Kind::dict) {
    return in_file(path, Error{ErrorCode::format_invalid, "holds no state dict (a dict of tensors by name)"});
  }
  Result<std::map<std::string, TensorView, std::less<>>> tensors = tensors_of(*dict, arena, host);
  for (const std::string_view key : {"state_dict", "model_state_dict", "model"}) {
    if (!tensors || !tensors->empty()) break;
    const PickleValue* nested = find_dict(*dict, key, arena);
    if (nested != nullptr) tensors = tensors_of(*nested, arena, host);
  }
  if (!tensors) return in_file(path, tensors.error());
  if (tensors->empty()) return in_file(path, Error{ErrorCode::format_invalid, "holds no tensors"});
  return tensors;
}

}  // namespace turboclip
